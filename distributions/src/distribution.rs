//! What is answered under which names.

use std::fmt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

/// Host names, and what is answered under them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// At least one. No other distribution has one of them.
    pub names: Vec<HostPattern>,
    /// At least one, in the order of the file. No two are for the same path.
    pub behaviours: Vec<Behaviour>,
    /// What becomes of the fields of every request that is sent to an origin, before the behaviour's
    /// own rules.
    pub request_headers: HeaderRules,
    /// What becomes of the fields of every answer, before the behaviour's own rules.
    pub response_headers: HeaderRules,
    /// The field in which a request to an origin and its answer have an ID of their own.
    pub request_id: Option<HeaderName>,
    /// Whether an answer says how long it took to begin (Server Timing of the W3C).
    pub server_timing: bool,
}

impl Distribution {
    /// What it is called in metrics and messages: its first name.
    #[must_use]
    pub fn label(&self) -> String {
        self.names.first().map_or_else(String::new, ToString::to_string)
    }

    /// The directories that its files are in.
    pub fn roots(&self) -> impl Iterator<Item = &Path> {
        self.behaviours.iter().filter_map(|behaviour| match &behaviour.answer {
            Answer::Files(files) => Some(files.root.as_path()),
            Answer::Redirect(_) | Answer::Respond(_) | Answer::Proxy(_) => None,
        })
    }

    /// The names of the origins that its proxies ask.
    pub fn origins(&self) -> impl Iterator<Item = &str> {
        self.behaviours.iter().filter_map(|behaviour| match &behaviour.answer {
            Answer::Proxy(proxy) => Some(&*proxy.origin),
            Answer::Redirect(_) | Answer::Respond(_) | Answer::Files(_) => None,
        })
    }
}

/// The hosts that a name stands for, in lower case and without a dot at its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This one.
    Exact(Box<str>),
    /// Those with one label more than this, as in a certificate (RFC 9525 section 6.3).
    Below(Box<str>),
}

impl HostPattern {
    /// Whether `name` is one of them, in lower case and without a dot at its end.
    #[must_use]
    pub fn is_for(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *name,
            Self::Below(above) => {
                name.split_once('.').is_some_and(|(_, parent)| parent == &**above)
            }
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

/// What is answered to requests for some paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// Which.
    pub path: PathPattern,
    /// What.
    pub answer: Answer,
    /// What becomes of the fields of the request that an origin is sent. Empty where no proxy
    /// answers.
    pub request_headers: HeaderRules,
    /// What becomes of the fields of the answer.
    pub response_headers: HeaderRules,
}

/// The paths that a behaviour is for, in the plain form that [`crate::check_plain`] tells of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// This one.
    Exact(Box<str>),
    /// This one and what is below it, by segments: `/a` has `/a/b` below it, and not `/ab`. With a
    /// `/` at its end what is below it alone.
    Prefix(Box<str>),
}

impl PathPattern {
    /// The path that is written.
    #[must_use]
    pub fn path(&self) -> &str {
        let (Self::Exact(path) | Self::Prefix(path)) = self;
        path
    }
}

/// What answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The way to somewhere else.
    Redirect(Redirect),
    /// The same to everybody.
    Respond(Respond),
    /// Files of a directory.
    Files(Files),
    /// An origin.
    Proxy(Proxy),
}

impl Answer {
    /// What it is called, in the file and in the access log.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Redirect(_) => "redirect",
            Self::Respond(_) => "respond",
            Self::Files(_) => "files",
            Self::Proxy(_) => "proxy",
        }
    }
}

/// The way to somewhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// An http or https URI, or a path from `/` on, as it stands in `Location` (RFC 9110 section
    /// 10.2.2). Without a `/` at its end where something is appended.
    pub to: Box<str>,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
    /// What of the request's target is put behind it.
    pub append: Append,
}

/// What of a request's target goes with a redirect, to a directory, or to an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// Nothing.
    Nothing,
    /// All of the path, and the query.
    Path,
    /// What of the path is behind the behaviour's own, and the query.
    Rest,
}

/// The same to everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// 200 to 599, and none that only answers a condition or a range.
    pub status: StatusCode,
    /// At most [`crate::limits::MAX_RESPOND_BODY_BYTES`]; empty with a status that has none.
    pub body: Bytes,
    /// There where the body is not empty, and where the file says so.
    pub content_type: Option<HeaderValue>,
}

/// Files of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The directory, of which nothing leads out.
    pub root: PathBuf,
    /// The file that is answered for a directory: a name without `/`.
    pub index: Option<Box<str>>,
    /// What of the request's path is looked for below `root`: [`Append::Path`] or [`Append::Rest`].
    pub append: Append,
    /// Codings in which files may stand beside others, the best first.
    pub precompressed: Vec<Coding>,
}

/// A coding of content (RFC 9110 section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstandard,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// Its name in fields.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstandard => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// What the name of a file in it ends with.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstandard => ".zst",
            Self::Gzip => ".gz",
        }
    }

    /// Its name as a field's value.
    #[must_use]
    pub fn value(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }
}

/// The answer of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its name; one of [`crate::Served::origins`] has it.
    pub origin: Box<str>,
    /// What of the request's path the origin is asked for: [`Append::Path`] or [`Append::Rest`]. The
    /// query goes with both.
    pub append: Append,
    /// What becomes of what a client says of where its request comes from.
    pub forwarded: Forwarded,
}

/// What becomes of what a client says of where its request comes from: `Forwarded` (RFC 7239),
/// `X-Forwarded-For` and the like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// It is thrown away: anybody can write it.
    Replace,
    /// It is believed, and added to: the clients are proxies of the operator's.
    Append,
}

/// What becomes of the fields of a message: first some are removed, then some set, then some added.
/// None of them says how it is framed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderRules {
    /// These are taken away.
    pub remove: Vec<HeaderName>,
    /// These take the place of what there is of the same name.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// These stand beside what there is of the same name.
    pub add: Vec<(HeaderName, HeaderValue)>,
}
