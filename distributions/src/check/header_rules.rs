//! Fields that are set, added and removed.

use http::{HeaderName, HeaderValue, header};
use settings::{Problem, Text};

use super::{Check, Checked};
use crate::HeaderRules;
use crate::file;
use crate::limits;

/// How a message is framed and what its bytes are is the business of who sends them: RFC 9110
/// sections 7.6.1, 8.4, 8.6 and 14.4, RFC 9114 section 4.2.
const FRAMING: [HeaderName; 10] = [
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// What is sent to an origin has more that rules must leave alone, and what to do instead: whom it
/// is for (RFC 9110 section 7.2), whether its content is waited for (section 10.1.1), and the mark by
/// which a request that goes in circles is known (section 7.6.3).
const OURS: [(HeaderName, &str); 3] = [
    (header::HOST, "`host` of the origin says which one is sent"),
    (header::EXPECT, "it goes with how the content is sent: leave it out"),
    (header::VIA, "it is sent with each request (RFC 9110 section 7.6.3): leave it out"),
];

/// Whose fields rules are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Those of answers.
    Answers,
    /// Those of requests to origins.
    Requests,
}

impl Check<'_> {
    pub(super) fn header_rules(
        &mut self,
        rules: Option<&file::HeaderRules>,
        of: Of,
    ) -> Checked<HeaderRules> {
        let Some(rules) = rules else { return Some(HeaderRules::default()) };
        let file::HeaderRules { set, add, remove } = rules;
        let places = remove.iter().chain(set.keys()).chain(add.keys());
        let values = set.values().chain(add.values());
        let bytes: usize = places.clone().chain(values).map(|text| text.get_ref().len()).sum();
        let (count, first) = (places.clone().count(), places.clone().next());
        let most = limits::MAX_HEADER_RULES;
        if let Some(first) = first {
            self.at_most(most, count, "header rules in one place", first.span())?;
            let most = limits::MAX_HEADER_RULES_BYTES;
            self.at_most(most, bytes, "bytes of header rules in one place", first.span())?;
        }
        let removed: Vec<_> = remove.iter().map(|name| self.field_name(name, of)).collect();
        let set = self.fields(set, of);
        let add = self.fields(add, of);
        Some(HeaderRules {
            remove: removed.into_iter().collect::<Option<_>>()?,
            set: set?,
            add: add?,
        })
    }

    fn fields(&mut self, fields: &file::Fields, of: Of) -> Checked<Vec<(HeaderName, HeaderValue)>> {
        let mut earlier: Vec<(HeaderName, &Text)> = Vec::new();
        let mut checked = Vec::new();
        for (name, value) in fields {
            let (known, value) = (self.field_name(name, of), self.field_value(value));
            if let Some(known) = &known {
                if let Some((_, first)) = earlier.iter().find(|(other, _)| other == known) {
                    let what = format!("the field {known} is there twice");
                    let help = "upper and lower case do not differ: remove one";
                    self.twice(what, first.span(), name.span(), help);
                }
                earlier.push((known.clone(), name));
            }
            checked.push(known.zip(value));
        }
        checked.into_iter().collect()
    }

    pub(super) fn field_name(&mut self, text: &Text, of: Of) -> Checked<HeaderName> {
        let ours = |name: &HeaderName| match of {
            Of::Answers => None,
            Of::Requests => OURS.iter().find(|(ours, _)| ours == name).map(|(_, help)| *help),
        };
        let problem = match text.get_ref().parse::<HeaderName>() {
            Ok(name) if FRAMING.contains(&name) => {
                Problem::new(format!("{name} says how a message is framed"))
                    .at(text.span(), "not to be changed")
                    .help("each version of HTTP has its own way: leave it out")
            }
            Ok(name) => match ours(&name) {
                None => return Some(name),
                Some(help) => Problem::new(format!("{name} is not for rules"))
                    .at(text.span(), "not to be changed")
                    .help(help),
            },
            Err(_) => Problem::new(format!("`{}` is not the name of a field", text.get_ref()))
                .at(text.span(), "not a name")
                .help("letters, digits and hyphens, as in \"x-frame-options\""),
        };
        self.refuse(problem);
        None
    }

    pub(super) fn field_value(&mut self, text: &Text) -> Checked<HeaderValue> {
        let value = text.get_ref();
        let good = Some(value).filter(|value| *value == value.trim());
        let checked = good.and_then(|value| HeaderValue::from_str(value).ok());
        if checked.is_none() {
            self.refuse(
                Problem::new("a field's value has what no field can have")
                    .at(text.span(), "not a value")
                    .help("visible ASCII with single lines, and no space at its ends"),
            );
        }
        checked
    }
}
