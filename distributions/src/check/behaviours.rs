//! `[[distributions.behaviours]]`: which paths, and the one thing that answers there.

use std::collections::HashMap;

use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderValue, StatusCode, Uri};
use settings::{Problem, Text};
use toml::Spanned;

use super::header_rules::Of;
use super::plain_path::check_plain;
use super::{Check, Checked};
use crate::file;
use crate::limits;
use crate::{
    Answer, Append, Behaviour, Forwarded, HeaderRules, PathPattern, Proxy, Redirect, Respond,
};

/// What a redirect may say (RFC 9110 section 15.4).
const REDIRECTS: [StatusCode; 5] = [
    StatusCode::MOVED_PERMANENTLY,
    StatusCode::FOUND,
    StatusCode::SEE_OTHER,
    StatusCode::TEMPORARY_REDIRECT,
    StatusCode::PERMANENT_REDIRECT,
];

impl Check<'_> {
    pub(super) fn behaviours(
        &mut self,
        distribution: &file::Distribution,
    ) -> Checked<Vec<Behaviour>> {
        let listed = distribution.behaviours.as_deref().unwrap_or_default();
        let place = distribution.names.span();
        if listed.is_empty() {
            self.refuse(
                Problem::new("a distribution without behaviours answers nothing")
                    .at(place, "no behaviours")
                    .help("write a [[distributions.behaviours]] table for each path, or one for \"/\""),
            );
            return None;
        }
        self.at_most(limits::MAX_BEHAVIOURS, listed.len(), "behaviours of a distribution", place)?;
        let mut earlier = HashMap::new();
        let checked: Vec<_> = listed
            .iter()
            .map(|behaviour| {
                let checked = self.behaviour(behaviour)?;
                let place = behaviour.path.span();
                if let Some(first) = earlier.insert(checked.path.clone(), place.clone()) {
                    let what = format!("two behaviours have the path {}", checked.path.path());
                    self.twice(what, first, place, "a request is answered by one: remove one");
                }
                Some(checked)
            })
            .collect();
        checked.into_iter().collect()
    }

    fn behaviour(&mut self, behaviour: &file::Behaviour) -> Checked<Behaviour> {
        let path = self.path_pattern(&behaviour.path, behaviour.exact.unwrap_or(false));
        let answer = self.one_answer(behaviour);
        if let (Some(PathPattern::Exact(exact)), Some(Answer::Files(files))) = (&path, &answer)
            && files.append == Append::Rest
            && !exact.ends_with('/')
        {
            self.refuse(
                Problem::new("an exact path has no rest that a file could be found by")
                    .at(behaviour.path.span(), "exact, with append = \"rest\"")
                    .help("leave `exact` out, or use append = \"path\" with the file below `root`"),
            );
        }
        let request_headers = self.request_headers(behaviour, answer.as_ref());
        let response_headers = self.header_rules(behaviour.response_headers.as_ref(), Of::Answers);
        Some(Behaviour {
            path: path?,
            answer: answer?,
            request_headers: request_headers?,
            response_headers: response_headers?,
        })
    }

    /// Of a proxy alone: nothing else sends a request.
    fn request_headers(
        &mut self,
        behaviour: &file::Behaviour,
        answer: Option<&Answer>,
    ) -> Checked<HeaderRules> {
        let Some(rules) = &behaviour.request_headers else { return Some(HeaderRules::default()) };
        if !matches!(answer, None | Some(Answer::Proxy(_))) {
            self.refuse(
                Problem::new("`request_headers` is what an origin is sent, and none answers here")
                    .at(rules.span(), "without effect")
                    .help("remove it; `response_headers` is what a client is sent"),
            );
        }
        self.header_rules(Some(rules.get_ref()), Of::Requests)
    }

    fn path_pattern(&mut self, text: &Text, exact: bool) -> Checked<PathPattern> {
        let (span, path) = (text.span(), text.get_ref().as_str());
        let refused = |what: String, help: &str| {
            Problem::new(format!("the path `{path}` {what}")).at(span.clone(), "no path").help(help)
        };
        let problem = if path.contains(['?', '#', '*']) {
            Some(refused(
                "is more than a path".into(),
                "it has no query, and what is below it goes without *",
            ))
        } else if path.contains('%') {
            Some(refused(
                "has an escape".into(),
                "write the character itself: requests are compared with their escapes resolved",
            ))
        } else if path.len() > limits::MAX_BEHAVIOUR_PATH_BYTES {
            Some(refused("is longer than 1024 bytes".into(), "a prefix of it will do"))
        } else {
            let odd = check_plain(path).err();
            odd.map(|odd| {
                refused(format!("is that of no request: {odd}"), "as in \"/\" or \"/api\"")
            })
        };
        if let Some(problem) = problem {
            self.refuse(problem);
            return None;
        }
        Some(if exact { PathPattern::Exact(path.into()) } else { PathPattern::Prefix(path.into()) })
    }

    /// Exactly one.
    fn one_answer(&mut self, behaviour: &file::Behaviour) -> Checked<Answer> {
        let file::Behaviour { redirect, respond, files, proxy, .. } = behaviour;
        let given = [
            redirect.as_ref().map(|table| (table.span(), "redirect")),
            respond.as_ref().map(|table| (table.span(), "respond")),
            files.as_ref().map(|table| (table.span(), "files")),
            proxy.as_ref().map(|table| (table.span(), "proxy")),
        ];
        let given: Vec<_> = given.into_iter().flatten().collect();
        match (redirect, respond, files, proxy) {
            (Some(redirect), None, None, None) => {
                self.redirect(redirect.get_ref()).map(Answer::Redirect)
            }
            (None, Some(respond), None, None) => self.respond(respond).map(Answer::Respond),
            (None, None, Some(files), None) => self.files(files.get_ref()).map(Answer::Files),
            (None, None, None, Some(proxy)) => self.proxy(proxy.get_ref()).map(Answer::Proxy),
            _ => {
                let path = behaviour.path.get_ref();
                let problem = match given.len() {
                    0 => Problem::new(format!("nothing answers at `{path}`"))
                        .at(behaviour.path.span(), "no answer"),
                    _ => given.into_iter().fold(
                        Problem::new(format!("more than one thing answers at `{path}`")),
                        |problem, (span, name)| problem.at(span, name),
                    ),
                };
                self.refuse(problem.help("give one of: redirect, respond, files, proxy"));
                None
            }
        }
    }

    /// Whether its origin is there is seen with the origins.
    fn proxy(&mut self, proxy: &file::Proxy) -> Checked<Proxy> {
        let words = [("path", Append::Path), ("rest", Append::Rest)];
        let append = self.word(&proxy.append, "append", &words, Append::Path);
        let words = [("replace", Forwarded::Replace), ("append", Forwarded::Append)];
        let forwarded = self.word(&proxy.forwarded, "forwarded", &words, Forwarded::Replace);
        let origin = proxy.origin.get_ref().as_str().into();
        Some(Proxy { origin, append: append?, forwarded: forwarded? })
    }

    fn redirect(&mut self, redirect: &file::Redirect) -> Checked<Redirect> {
        let words = [("nothing", Append::Nothing), ("path", Append::Path), ("rest", Append::Rest)];
        let append = self.word(&redirect.append, "append", &words, Append::Nothing);
        let to = self.redirect_target(&redirect.to, append != Some(Append::Nothing));
        let status = match &redirect.status {
            None => Some(StatusCode::FOUND),
            Some(number) => {
                let known =
                    REDIRECTS.iter().find(|code| i64::from(code.as_u16()) == *number.get_ref());
                if known.is_none() {
                    self.refuse(
                        Problem::new(format!(
                            "`status` is {}, which is no redirect",
                            number.get_ref()
                        ))
                        .at(number.span(), "not known")
                        .help("301 or 308 for ever, 302 or 307 for now, 303 to GET something else"),
                    );
                }
                known.copied()
            }
        };
        Some(Redirect { to: to?, status: status?, append: append? })
    }

    fn redirect_target(&mut self, text: &Text, appended: bool) -> Checked<Box<str>> {
        let to = text.get_ref().as_str();
        let uri = to.parse::<Uri>().ok();
        let leads = uri.is_some_and(|uri| match (uri.scheme(), uri.authority()) {
            (None, None) => to.starts_with('/') && !to.starts_with("//"),
            (Some(scheme), Some(authority)) => {
                (*scheme == Scheme::HTTP || *scheme == Scheme::HTTPS)
                    && !authority.as_str().contains('@')
            }
            _ => false,
        });
        let problem = if to.len() > limits::MAX_REDIRECT_BYTES {
            Some(("is longer than 4096 bytes", "clients do not take it"))
        } else if !leads || !to.is_ascii() || HeaderValue::from_str(to).is_err() {
            Some((
                "is not where a client can go",
                "as in \"https://www.example.com/\" or \"/new\", with % for what is not ASCII",
            ))
        } else if appended && to.contains(['?', '#']) {
            Some((
                "has a query or a fragment, and `append` puts a path behind it",
                "leave one of them out",
            ))
        } else {
            None
        };
        if let Some((what, help)) = problem {
            self.refuse(
                Problem::new(format!("`{to}` {what}")).at(text.span(), "no target").help(help),
            );
            return None;
        }
        // What is appended begins with a slash of its own.
        Some(if appended { to.trim_end_matches('/').into() } else { to.into() })
    }

    fn respond(&mut self, respond: &Spanned<file::Respond>) -> Checked<Respond> {
        let (place, respond) = (respond.span(), respond.get_ref());
        let status = self.number_or(&respond.status, "status", 200..=599, 200_u16);
        let body = respond.body.as_ref().map_or("", |body| body.get_ref());
        let at = |number: &Option<settings::Number>| {
            number.as_ref().map_or(place.clone(), Spanned::span)
        };
        if body.len() > limits::MAX_RESPOND_BODY_BYTES {
            let reason = format!("a body of {} bytes: at most 65536 are possible", body.len());
            let body = respond.body.as_ref().map_or(place.clone(), Spanned::span);
            self.refuse(Problem::new(reason).at(body, "too long").help("serve it from a file"));
            return None;
        }
        let wrong = match status? {
            // RFC 9110 sections 15.3.7 and 15.4.5.
            code @ (206 | 304) => Some(format!("{code} answers a question that nobody asked")),
            // RFC 9110 sections 15.3.5 and 15.3.6.
            code @ (204 | 205) if !body.is_empty() => Some(format!("{code} has no body")),
            _ => None,
        };
        if let Some(wrong) = wrong {
            self.refuse(Problem::new(wrong).at(at(&respond.status), "not with this status"));
            return None;
        }
        let content_type = match &respond.content_type {
            Some(value) => Some(self.field_value(value)?),
            None if body.is_empty() => None,
            None => Some(HeaderValue::from_static("text/plain; charset=utf-8")),
        };
        let status = StatusCode::from_u16(status?).expect("200 to 599 are");
        Some(Respond { status, body: Bytes::copy_from_slice(body.as_bytes()), content_type })
    }
}
