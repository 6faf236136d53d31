//! The one string that makes a host a node: it proves the controller to the node, and the node to
//! the controller.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What the text begins with: a version, so that another form can follow.
const PREFIX: &str = "lf1.";

/// An invitation as an operator carries it from the controller to a node.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    /// SHA-256 of the certificate (DER) of the controller's authority: the node trusts no other,
    /// from its first connection on.
    pub authority: [u8; 32],
    /// What the controller knows the node by. Good once, for a limited time.
    pub secret: [u8; 32],
}

/// Why a text is no invitation. It is not repeated: it may be one but for a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnInvitation {
    /// Another kind of text, or that of a later version.
    #[error("an invitation begins with `{PREFIX}`: copy the whole line of `nodes invite`")]
    Prefix,
    /// Too short, too long, or with letters that do not belong there.
    #[error("the invitation is cut short or changed: copy the whole line of `nodes invite`")]
    Form,
}

impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.authority, self.secret].concat();
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Invitation {
    type Err = NotAnInvitation;

    fn from_str(text: &str) -> Result<Self, NotAnInvitation> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(NotAnInvitation::Prefix)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| NotAnInvitation::Form)?;
        let (authority, secret) = bytes.split_first_chunk().ok_or(NotAnInvitation::Form)?;
        let secret = secret.try_into().map_err(|_| NotAnInvitation::Form)?;
        Ok(Self { authority: *authority, secret })
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_carried_arrives_or_is_refused() {
        let invitation = Invitation { authority: [7; 32], secret: [9; 32] };
        let text = invitation.to_string();
        assert_eq!(format!(" {text}\n").parse(), Ok(invitation.clone()));
        assert_eq!(format!("{invitation:?}"), "Invitation { .. }");
        assert_eq!(text[4..].parse::<Invitation>(), Err(NotAnInvitation::Prefix));
        for length in 4..text.len() {
            assert_eq!(text[..length].parse::<Invitation>(), Err(NotAnInvitation::Form));
        }
        assert_eq!(format!("{text}AA").parse::<Invitation>(), Err(NotAnInvitation::Form));
    }
}
