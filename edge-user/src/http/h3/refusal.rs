//! Every way in which a client's streams are refused: what it is called in logs, its error code, and
//! whether it ends the stream or the connection.

/// Error codes of HTTP/3 (RFC 9114 section 8.1) and QPACK (RFC 9204 section 6).
pub mod code {
    /// H3_NO_ERROR.
    pub const NO_ERROR: u64 = 0x100;
    /// H3_INTERNAL_ERROR.
    pub const INTERNAL_ERROR: u64 = 0x102;
    /// H3_GENERAL_PROTOCOL_ERROR.
    pub const GENERAL_PROTOCOL_ERROR: u64 = 0x101;
    /// H3_STREAM_CREATION_ERROR.
    pub const STREAM_CREATION_ERROR: u64 = 0x103;
    /// H3_CLOSED_CRITICAL_STREAM.
    pub const CLOSED_CRITICAL_STREAM: u64 = 0x104;
    /// H3_FRAME_UNEXPECTED.
    pub const FRAME_UNEXPECTED: u64 = 0x105;
    /// H3_FRAME_ERROR.
    pub const FRAME_ERROR: u64 = 0x106;
    /// H3_EXCESSIVE_LOAD.
    pub const EXCESSIVE_LOAD: u64 = 0x107;
    /// H3_ID_ERROR.
    pub const ID_ERROR: u64 = 0x108;
    /// H3_SETTINGS_ERROR.
    pub const SETTINGS_ERROR: u64 = 0x109;
    /// H3_MISSING_SETTINGS.
    pub const MISSING_SETTINGS: u64 = 0x10a;
    /// H3_REQUEST_REJECTED.
    pub const REQUEST_REJECTED: u64 = 0x10b;
    /// H3_REQUEST_INCOMPLETE.
    pub const REQUEST_INCOMPLETE: u64 = 0x10d;
    /// H3_MESSAGE_ERROR.
    pub const MESSAGE_ERROR: u64 = 0x10e;
    /// QPACK_DECOMPRESSION_FAILED.
    pub const QPACK_DECOMPRESSION_FAILED: u64 = 0x200;
    /// QPACK_ENCODER_STREAM_ERROR.
    pub const QPACK_ENCODER_STREAM_ERROR: u64 = 0x201;
    /// QPACK_DECODER_STREAM_ERROR.
    pub const QPACK_DECODER_STREAM_ERROR: u64 = 0x202;
}

/// What a refusal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This stream; the connection goes on.
    Stream,
    /// The whole connection.
    Connection,
}

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Frames that do not follow each other as they must, or are cut off.
    #[error(transparent)]
    Frames(#[from] FrameRefusal),
    /// A field section that cannot be decoded.
    #[error(transparent)]
    Qpack(#[from] QpackRefusal),
    /// More than we are willing to hold or to look at.
    #[error(transparent)]
    Excess(#[from] Excess),
    /// A message that means nothing, or different things to different readers.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The stream ended before a head (RFC 9114 section 4.1).
    #[error("the stream ended before a head")]
    Incomplete,
}

impl Refusal {
    /// The code that the stream or the connection is ended with.
    #[must_use]
    pub fn code(self) -> u64 {
        match self {
            Self::Frames(FrameRefusal::Truncated) => code::FRAME_ERROR,
            Self::Frames(FrameRefusal::Push) => code::ID_ERROR,
            Self::Frames(_) => code::FRAME_UNEXPECTED,
            Self::Qpack(_) => code::QPACK_DECOMPRESSION_FAILED,
            Self::Excess(_) => code::EXCESSIVE_LOAD,
            Self::Malformed(_) => code::MESSAGE_ERROR,
            Self::Incomplete => code::REQUEST_INCOMPLETE,
        }
    }

    /// What it ends: a frame out of place says that the peer speaks another protocol, a message that
    /// is malformed (RFC 9114 section 4.1.2) says nothing of the others.
    #[must_use]
    pub fn scope(self) -> Scope {
        match self {
            Self::Frames(_) | Self::Qpack(_) => Scope::Connection,
            Self::Excess(_) | Self::Malformed(_) | Self::Incomplete => Scope::Stream,
        }
    }

    /// The rule that was broken, for logs: short, stable, without anything the peer wrote.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::Frames(frames) => frames.rule(),
            Self::Qpack(qpack) => qpack.rule(),
            Self::Excess(excess) => excess.rule(),
            Self::Malformed(malformed) => malformed.rule(),
            Self::Incomplete => "incomplete",
        }
    }
}

/// Each variant with its rule and its message.
macro_rules! refusals {
    ($(#[$doc:meta])* $name:ident { $($(#[$why:meta])* $variant:ident: $rule:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        pub enum $name {
            $($(#[$why])* #[error($text)] $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// See [`Refusal::rule`].
            #[must_use]
            pub fn rule(self) -> &'static str {
                match self { $(Self::$variant => $rule,)* }
            }
        }
    };
}

refusals! {
    /// Frames that do not follow each other as they must.
    FrameRefusal {
        /// DATA before the head (RFC 9114 section 4.1).
        DataFirst: "data-before-head", "DATA before HEADERS";
        /// Anything after the trailers (RFC 9114 section 4.1).
        AfterTrailers: "frame-after-trailers", "HEADERS or DATA after the trailers";
        /// HEADERS in a tunnel (RFC 9114 section 4.4).
        InTunnel: "headers-in-tunnel", "HEADERS behind a CONNECT";
        /// A frame of the control stream (RFC 9114 section 7.2, RFC 9218 section 7.2).
        ControlFrame: "control-frame", "a frame of the control stream";
        /// A type of HTTP/2 that HTTP/3 has reserved (RFC 9114 section 7.2.8).
        Http2Frame: "http2-frame", "a frame of HTTP/2";
        /// PUSH_PROMISE from a client (RFC 9114 section 7.2.5).
        PushFromClient: "push-from-client", "PUSH_PROMISE from a client";
        /// PUSH_PROMISE from a server that was allowed no push ID (RFC 9114 section 7.2.5).
        Push: "push", "PUSH_PROMISE with an ID that was not allowed";
        /// The stream ended in the middle of a frame (RFC 9114 section 7.1).
        Truncated: "frame-truncated", "the stream ended inside a frame";
    }
}

refusals! {
    /// A field section that cannot be decoded (RFC 9204 section 2.2).
    QpackRefusal {
        /// A reference to a dynamic table, which has no capacity here (RFC 9204 section 3.2.3).
        DynamicReference: "qpack-dynamic", "a reference to the dynamic table";
        /// A base below zero (RFC 9204 section 4.5.1.2).
        NegativeBase: "qpack-base", "a base below zero";
        /// An index beyond the static table (RFC 9204 section 3.1).
        StaticIndex: "qpack-static-index", "no such entry in the static table";
        /// An integer that is too long (RFC 9204 section 4.1.1).
        Integer: "qpack-integer", "an integer of more than 62 bits";
        /// A field line that ends too soon.
        Truncated: "qpack-truncated", "a field line is cut off";
        /// A Huffman code of EOS, or an end that is no padding (RFC 7541 section 5.2).
        Huffman: "qpack-huffman", "a string that is not Huffman code";
    }
}

refusals! {
    /// More than we are willing to hold or to look at (RFC 9114 section 10.5).
    Excess {
        /// A HEADERS frame declares more than `limits::MAX_HEADERS_FRAME_BYTES`.
        HeadersFrame: "headers-too-long", "a HEADERS frame is too long";
        /// Another frame declares more than `limits::MAX_CONTROL_FRAME_BYTES`.
        UnknownFrame: "unknown-frame-too-long", "a frame of unknown type is too long";
        /// More than `limits::MAX_EMPTY_FRAMES` in a row that carry nothing.
        EmptyFrames: "empty-frames", "too many frames that carry nothing";
        /// More than `limits::MAX_FIELD_SECTION_BYTES` (RFC 9114 section 4.2.2).
        FieldSection: "fields-too-large", "a field section is too large";
        /// More than `limits::MAX_FIELDS`.
        FieldCount: "too-many-fields", "a field section has too many fields";
        /// More than `limits::MAX_INTERIM_RESPONSES`.
        InterimResponses: "too-many-interim", "too many interim responses";
    }
}

refusals! {
    /// A malformed message (RFC 9114 section 4.1.2).
    Malformed {
        /// Not a lower-case token (RFC 9114 sections 4.2 and 10.3).
        Name: "field-name", "a field name is not a lower-case token";
        /// CR, LF, NUL or another control character (RFC 9114 section 10.3).
        Value: "field-value", "a field value has a character it may not have";
        /// Whitespace around a value (RFC 9110 section 5.5).
        ValueSpace: "field-value-space", "a field value begins or ends with whitespace";
        /// A name that begins with a colon and is none of ours (RFC 9114 section 4.3).
        UnknownPseudo: "pseudo-unknown", "an unknown pseudo-header field";
        /// One of responses in a request, or the other way round, or any in trailers.
        MisplacedPseudo: "pseudo-misplaced", "a pseudo-header field that does not belong here";
        /// Behind a regular field (RFC 9114 section 4.3).
        LatePseudo: "pseudo-late", "a pseudo-header field behind a regular one";
        /// Twice (RFC 9114 section 4.3.1).
        RepeatedPseudo: "pseudo-repeated", "a pseudo-header field that is repeated";
        /// One that must be there (RFC 9114 sections 4.3.1 and 4.3.2).
        MissingPseudo: "pseudo-missing", "a pseudo-header field is missing";
        /// Not a token.
        Method: "method", "a method that is not a token";
        /// Neither `http` nor `https`.
        Scheme: "scheme", "a scheme that is not served";
        /// Neither origin form, nor `*` for OPTIONS (RFC 9114 section 4.3.1).
        Path: "path", "a path that is not in origin form";
        /// Neither `:authority` nor Host (RFC 9114 section 4.3.1).
        NoAuthority: "authority-missing", "no authority and no host";
        /// Empty, with userinfo, or not a host with a port (RFC 9114 section 4.3.1).
        Authority: "authority", "an authority that is not a host with or without a port";
        /// Host is repeated (RFC 9110 section 7.2).
        RepeatedHost: "host-repeated", "several Host fields";
        /// Host is not `:authority` (RFC 9114 section 4.3.1).
        HostDiffers: "host-differs", "Host differs from the authority";
        /// CONNECT with `:scheme` or `:path` (RFC 9114 section 4.4), or with a length.
        Connect: "connect", "a CONNECT that is not only an authority";
        /// `:protocol` is not a token, or the method is not CONNECT (RFC 9220, RFC 8441 section 4).
        Protocol: "protocol", "a protocol that is not that of an extended CONNECT";
        /// Not three digits, or 101 (RFC 9114 sections 4.3.2 and 4.5).
        Status: "status", "a status that HTTP/3 does not have";
        /// A field that is about a connection (RFC 9114 section 4.2).
        ConnectionField: "connection-field", "a field that is about a connection";
        /// TE other than `trailers` (RFC 9114 section 4.2).
        Te: "te", "TE that is not `trailers`";
        /// Not decimal digits of at most 64 bits (RFC 9110 section 8.6).
        Length: "content-length", "a content-length that is not a number";
        /// More than one, even where they agree (RFC 9110 section 8.6).
        RepeatedLength: "content-length-repeated", "several content-lengths";
        /// A length where no content can be: 1xx and 204 (RFC 9110 section 8.6).
        LengthWithoutContent: "content-length-forbidden", "a content-length where no content can be";
        /// A body that is longer than declared, or shorter (RFC 9114 section 4.1.2).
        LengthDiffers: "content-length-differs", "the content is not as long as declared";
        /// Content that a response cannot have: to HEAD, or with 204 or 304 (RFC 9110 section 6.4.1).
        Content: "content-forbidden", "content in a response that has none";
        /// A field of framing or routing in trailers (RFC 9110 section 6.5.1).
        TrailerField: "trailer-field", "a field that may not be a trailer";
        /// A response that ended with an interim head (RFC 9114 section 4.1).
        NoFinalResponse: "response-missing", "the stream ended before the final response";
    }
}

refusals! {
    /// What ends a connection that is said on a unidirectional stream, or by closing one.
    ControlRefusal {
        /// Another frame comes first (RFC 9114 section 6.2.1).
        MissingSettings: "settings-missing", "the control stream does not begin with SETTINGS";
        /// SETTINGS twice (RFC 9114 section 7.2.4).
        RepeatedSettings: "settings-repeated", "SETTINGS are repeated";
        /// A setting twice (RFC 9114 section 7.2.4).
        RepeatedSetting: "setting-repeated", "a setting is repeated";
        /// A setting of HTTP/2 that HTTP/3 has reserved (RFC 9114 section 7.2.4.1).
        Http2Setting: "http2-setting", "a setting of HTTP/2";
        /// Neither 0 nor 1 (RFC 9220 section 3, RFC 9297 section 2.1.1).
        SettingValue: "setting-value", "a setting that has no such value";
        /// DATA, HEADERS or PUSH_PROMISE (RFC 9114 section 7.2).
        RequestFrame: "request-frame", "a frame of request streams";
        /// A type of HTTP/2 that HTTP/3 has reserved (RFC 9114 section 7.2.8).
        Http2Frame: "http2-control-frame", "a frame of HTTP/2 on the control stream";
        /// Its fields end elsewhere than itself (RFC 9114 section 7.1).
        FrameForm: "control-frame-form", "a control frame that is too short or too long for its type";
        /// It declares more than `limits::MAX_CONTROL_FRAME_BYTES`.
        FrameTooLong: "control-frame-too-long", "a control frame is too long";
        /// CANCEL_PUSH or PRIORITY_UPDATE of what was never pushed (RFC 9114 section 7.2.3).
        Push: "push-unknown", "nothing was pushed";
        /// MAX_PUSH_ID goes down (RFC 9114 section 7.2.7).
        MaxPushIdShrinks: "max-push-id", "MAX_PUSH_ID goes down";
        /// GOAWAY goes up (RFC 9114 section 5.2).
        GoawayGrows: "goaway", "the ID of GOAWAY goes up";
        /// PRIORITY_UPDATE of what is no request stream (RFC 9218 section 7.2).
        Priority: "priority-update", "a priority of what is no request";
        /// A client pushes (RFC 9114 section 6.2.2).
        PushStream: "push-stream", "a push stream of a client";
        /// A second control, encoder or decoder stream (RFC 9114 section 6.2.1, RFC 9204 section 4.2).
        SecondStream: "critical-stream-repeated", "a second stream of a kind there is one of";
        /// One of these, theirs or ours, was closed or not wanted.
        ClosedStream: "critical-stream-closed", "a stream that must stay open was closed";
        /// An instruction to a table without capacity (RFC 9204 section 4.3).
        EncoderStream: "qpack-encoder-stream", "an instruction to a table without capacity";
        /// An acknowledgement of what was not said (RFC 9204 section 4.4).
        DecoderStream: "qpack-decoder-stream", "an acknowledgement of what was not inserted";
        /// More frames than they are worth (RFC 9114 section 10.5).
        TooMany: "too-many-control-frames", "more control frames than they are worth";
        /// More requests that came to nothing than anybody has (CVE-2023-44487).
        Resets: "too-many-resets", "more requests are given up than asked";
    }
}

impl ControlRefusal {
    /// The code that the connection is closed with.
    #[must_use]
    pub fn code(self) -> u64 {
        match self {
            Self::MissingSettings => code::MISSING_SETTINGS,
            Self::RepeatedSettings | Self::RequestFrame | Self::Http2Frame => {
                code::FRAME_UNEXPECTED
            }
            Self::RepeatedSetting | Self::Http2Setting | Self::SettingValue => code::SETTINGS_ERROR,
            Self::FrameForm => code::FRAME_ERROR,
            Self::FrameTooLong | Self::TooMany | Self::Resets => code::EXCESSIVE_LOAD,
            Self::Push | Self::MaxPushIdShrinks | Self::GoawayGrows | Self::Priority => {
                code::ID_ERROR
            }
            Self::PushStream | Self::SecondStream => code::STREAM_CREATION_ERROR,
            Self::ClosedStream => code::CLOSED_CRITICAL_STREAM,
            Self::EncoderStream => code::QPACK_ENCODER_STREAM_ERROR,
            Self::DecoderStream => code::QPACK_DECODER_STREAM_ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_a_name_of_its_own() {
        let mut rules: Vec<_> = FrameRefusal::ALL.iter().map(|it| it.rule()).collect();
        rules.extend(QpackRefusal::ALL.iter().map(|it| it.rule()));
        rules.extend(Excess::ALL.iter().map(|it| it.rule()));
        rules.extend(Malformed::ALL.iter().map(|it| it.rule()));
        rules.extend(ControlRefusal::ALL.iter().map(|it| it.rule()));
        rules.push(Refusal::Incomplete.rule());
        let count = rules.len();
        rules.sort_unstable();
        rules.dedup();
        assert_eq!(rules.len(), count);
    }
}
