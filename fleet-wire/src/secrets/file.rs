//! The form of the fleet file, both ways.
//!
//! What is read here is secret: a message names the setting and the line, never the value. So
//! the TOML reader's own messages, which quote what they found, are not passed on.

use std::ops::Range;

use edge_wire::cid;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::{ConnectionIdConfig, EncapsulationSecret, Rotating, Secrets};

/// Why a text is no fleet file.
pub(super) struct Refused {
    /// From 1.
    pub(super) line: Option<usize>,
    pub(super) reason: String,
}

/// A key in hexadecimal.
struct Key<const N: usize>([u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Key<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom(format!("a key is {} hexadecimal digits", 2 * N));
        let digits = text.as_bytes();
        if digits.len() != 2 * N {
            return Err(wrong());
        }
        let mut key = [0; N];
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
                return Err(wrong());
            };
            *byte = (high << 4 | low) as u8;
        }
        Ok(Self(key))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    mint: Spanned<i64>,
    worker_hash: Key<16>,
    connection_ids: Vec<ConnectionId>,
    encapsulation: Encapsulation,
    tickets: Keys,
    tokens: Keys,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectionId {
    config_id: Spanned<i64>,
    length: Option<Spanned<i64>>,
    mode: Spanned<String>,
    key: Option<Key<16>>,
    reset_key: Key<32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Encapsulation {
    send_with: Spanned<i64>,
    keys: Vec<EncapsulationEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EncapsulationEntry {
    key_id: Spanned<i64>,
    key: Key<16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    current: Key<32>,
    previous: Option<Key<32>>,
    next: Option<Key<32>>,
}

impl From<Keys> for Rotating {
    fn from(keys: Keys) -> Self {
        Self {
            current: keys.current.0,
            previous: keys.previous.map(|key| key.0),
            next: keys.next.map(|key| key.0),
        }
    }
}

/// Reads the text of a fleet file.
pub(super) fn parse(text: &str) -> Result<Secrets, Refused> {
    let reader = Reader { text };
    let file: File = toml::from_str(text).map_err(|error| Refused {
        line: error.span().map(|span| reader.line(span.start)),
        reason: without_values(error.message()),
    })?;
    let mut connection_ids: Vec<ConnectionIdConfig> = Vec::new();
    for entry in file.connection_ids {
        let place = entry.config_id.span();
        let config = reader.connection_id(entry)?;
        if connection_ids.iter().any(|other| other.config_id == config.config_id) {
            return Err(reader.refused(place, "this `config_id` is there twice"));
        }
        connection_ids.push(config);
    }
    let mut encapsulation_keys: Vec<EncapsulationSecret> = Vec::new();
    for entry in file.encapsulation.keys {
        let place = entry.key_id.span();
        let key = reader.encapsulation_key(entry)?;
        if encapsulation_keys.iter().any(|other| other.key_id == key.key_id) {
            return Err(reader.refused(place, "this `key_id` is there twice"));
        }
        encapsulation_keys.push(key);
    }
    let mint = file.mint.get_ref();
    let mint = connection_ids.iter().find(|config| i64::from(config.config_id) == *mint);
    let send_with = file.encapsulation.send_with.get_ref();
    let send_with = encapsulation_keys.iter().find(|key| i64::from(key.key_id) == *send_with);
    let no_mint = || reader.refused(file.mint.span(), "`mint` is no `config_id` of connection_ids");
    let no_send_with = || {
        let place = file.encapsulation.send_with.span();
        reader.refused(place, "`send_with` is no `key_id` of encapsulation.keys")
    };
    Ok(Secrets {
        mint: mint.ok_or_else(no_mint)?.config_id,
        encapsulate_with: send_with.ok_or_else(no_send_with)?.key_id,
        connection_ids,
        encapsulation_keys,
        tickets: file.tickets.into(),
        tokens: file.tokens.into(),
        worker_hash: file.worker_hash.0,
    })
}

/// Turns places in the text into lines.
struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }

    fn refused(&self, place: Range<usize>, reason: &str) -> Refused {
        Refused { line: Some(self.line(place.start)), reason: reason.to_owned() }
    }

    fn connection_id(&self, entry: ConnectionId) -> Result<ConnectionIdConfig, Refused> {
        let place = entry.config_id.span();
        let Some(config_id) = below(*entry.config_id.get_ref(), cid::CONFIGS) else {
            return Err(self.refused(place, "`config_id` must be 0 to 6"));
        };
        let key = match (entry.mode.get_ref().as_str(), entry.key) {
            ("encrypted", Some(key)) => Some(key.0),
            ("plain", None) => None,
            ("encrypted", None) => {
                return Err(self.refused(place, "mode \"encrypted\" needs a `key`"));
            }
            ("plain", Some(_)) => return Err(self.refused(place, "mode \"plain\" has no `key`")),
            _ => {
                let reason = "`mode` must be \"encrypted\" or \"plain\"";
                return Err(self.refused(entry.mode.span(), reason));
            }
        };
        let length = self.id_length(entry.length)?;
        Ok(ConnectionIdConfig { config_id, length, key, reset_key: entry.reset_key.0 })
    }

    fn id_length(&self, length: Option<Spanned<i64>>) -> Result<usize, Refused> {
        let Some(length) = length else { return Ok(cid::DEFAULT_LEN) };
        let bytes = usize::try_from(*length.get_ref()).ok();
        bytes.filter(|bytes| (cid::MIN_LEN..=cid::MAX_LEN).contains(bytes)).ok_or_else(|| {
            let reason = format!("`length` must be {} to {}", cid::MIN_LEN, cid::MAX_LEN);
            self.refused(length.span(), &reason)
        })
    }

    fn encapsulation_key(&self, entry: EncapsulationEntry) -> Result<EncapsulationSecret, Refused> {
        match below(*entry.key_id.get_ref(), edge_wire::maps::MAX_ENCAPSULATION_KEYS) {
            Some(key_id) => Ok(EncapsulationSecret { key_id, key: entry.key.0 }),
            None => Err(self.refused(entry.key_id.span(), "`key_id` must be 0 to 3")),
        }
    }
}

fn below(number: i64, bound: u32) -> Option<u8> {
    u8::try_from(number).ok().filter(|number| u32::from(*number) < bound)
}

/// The TOML reader's message where it quotes names only: settings that are missing, unknown or
/// there twice, and our own. Its others quote what they found, which may be a key.
fn without_values(message: &str) -> String {
    let harmless = ["missing field", "a key is"];
    if harmless.iter().any(|start| message.starts_with(start)) {
        message.to_owned()
    } else {
        "not in the form of a fleet file; `landfast-edge fleet init` shows the form".to_owned()
    }
}

/// The text of a fleet file.
pub fn write(secrets: &Secrets) -> String {
    let mut text = format!(
        "# The secrets of a Landfast fleet: the same file on every node, mode 0600.\n\
         # docs/configuration.md says what each is for.\n\n\
         mint = {}\nworker_hash = \"{}\"\n",
        secrets.mint,
        hex(&secrets.worker_hash)
    );
    for config in &secrets.connection_ids {
        text += &format!("\n[[connection_ids]]\nconfig_id = {}\n", config.config_id);
        text += &format!("length = {}\n", config.length);
        text += &match &config.key {
            Some(key) => format!("mode = \"encrypted\"\nkey = \"{}\"\n", hex(key)),
            None => "mode = \"plain\"\n".to_owned(),
        };
        text += &format!("reset_key = \"{}\"\n", hex(&config.reset_key));
    }
    text += &format!("\n[encapsulation]\nsend_with = {}\n", secrets.encapsulate_with);
    for key in &secrets.encapsulation_keys {
        text += "\n[[encapsulation.keys]]\n";
        text += &format!("key_id = {}\nkey = \"{}\"\n", key.key_id, hex(&key.key));
    }
    for (name, keys) in [("tickets", &secrets.tickets), ("tokens", &secrets.tokens)] {
        text += &format!("\n[{name}]\ncurrent = \"{}\"\n", hex(&keys.current));
        for (name, key) in [("previous", &keys.previous), ("next", &keys.next)] {
            if let Some(key) = key {
                text += &format!("{name} = \"{}\"\n", hex(key));
            }
        }
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
