//! Fields that are set, added and removed.

use http::{HeaderName, HeaderValue, header};
use settings::{Problem, Text};

use super::{Check, Checked};
use crate::config::distributions::HeaderRules;
use crate::config::file;
use crate::limits;

/// How an answer is framed and what its bytes are is the business of who sends them: RFC 9110
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

impl Check {
    pub(super) fn header_rules(
        &mut self,
        rules: Option<&file::HeaderRules>,
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
        let removed: Vec<_> = remove.iter().map(|name| self.field_name(name)).collect();
        let set = self.fields(set);
        let add = self.fields(add);
        Some(HeaderRules {
            remove: removed.into_iter().collect::<Option<_>>()?,
            set: set?,
            add: add?,
        })
    }

    fn fields(&mut self, fields: &file::Fields) -> Checked<Vec<(HeaderName, HeaderValue)>> {
        let mut earlier: Vec<(HeaderName, &Text)> = Vec::new();
        let mut checked = Vec::new();
        for (name, value) in fields {
            let (known, value) = (self.field_name(name), self.field_value(value));
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

    pub(super) fn field_name(&mut self, text: &Text) -> Checked<HeaderName> {
        let problem = match text.get_ref().parse::<HeaderName>() {
            Ok(name) if !FRAMING.contains(&name) => return Some(name),
            Ok(name) => Problem::new(format!("{name} says how an answer is framed"))
                .at(text.span(), "not to be changed")
                .help("each version of HTTP has its own way: leave it out"),
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
