//! What is wrong with a configuration file, and how it is shown.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, LabeledSpan, NamedSource, SourceCode};

/// Names that are at most this far apart are taken for a slip of the fingers.
const SLIP_EDITS: usize = 2;

/// One mistake: the reason, the places, and what to do.
#[derive(Debug, Clone)]
pub struct Problem {
    reason: String,
    places: Vec<(Range<usize>, String)>,
    help: Option<String>,
    source: Option<Arc<NamedSource<String>>>,
}

impl Problem {
    /// For this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), places: Vec::new(), help: None, source: None }
    }

    /// Puts a caret under `span`, with a word on it.
    #[must_use]
    pub fn at(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.places.push((span, label.into()));
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Why the file is refused, in one sentence.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        if self.places.is_empty() {
            return None;
        }
        self.source.as_deref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        // The last place is the one to look at first: there the file went wrong.
        let last = self.places.len().saturating_sub(1);
        let label = move |(place, (span, label)): (usize, &(Range<usize>, String))| {
            let label = Some(label.clone());
            if place == last {
                LabeledSpan::new_primary_with_span(label, span.clone())
            } else {
                LabeledSpan::new_with_span(label, span.clone())
            }
        };
        Some(Box::new(self.places.iter().enumerate().map(label)))
    }
}

/// A file that was refused: every mistake in it.
#[derive(Debug, Clone)]
pub struct ConfigError {
    path: String,
    problems: Vec<Problem>,
}

impl ConfigError {
    /// Of the file at `path`, whose text shows the places.
    #[must_use]
    pub fn new(path: &Path, text: &str, mut problems: Vec<Problem>) -> Self {
        let path = path.display().to_string();
        let source = Arc::new(NamedSource::new(&path, text.to_owned()));
        for problem in &mut problems {
            problem.source = Some(Arc::clone(&source));
        }
        Self { path, problems }
    }

    /// The mistakes, in the order in which they were found: at least one.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// For a terminal: each mistake with its lines of the file and carets under the values.
    #[must_use]
    pub fn render(&self) -> String {
        self.render_by(&GraphicalReportHandler::new().with_width(100))
    }

    /// As [`ConfigError::render`], in another dress.
    #[must_use]
    pub fn render_by(&self, handler: &GraphicalReportHandler) -> String {
        let mut text = String::new();
        for problem in &self.problems {
            if problem.source_code().is_none() {
                text += &format!("{}:\n", self.path);
            }
            handler.render_report(&mut text, problem).expect("a String takes any text");
        }
        text
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path)?;
        for (place, problem) in self.problems.iter().enumerate() {
            write!(f, "{} {problem}", if place == 0 { "" } else { ";" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// What the TOML reader says, with a guess at what was meant; `page` lists all settings.
#[must_use]
pub fn of_toml(error: &toml::de::Error, page: &str) -> Problem {
    let message = error.message();
    let mut problem = Problem::new(message);
    if let Some(span) = error.span() {
        problem = problem.at(span, "here");
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown field") {
        let unknown = quoted.next().unwrap_or_default();
        let known: Vec<_> = quoted.collect();
        problem.reason = format!("there is no setting `{unknown}` here");
        problem = problem.help(suggestion(unknown, &known));
    } else if message.starts_with("missing field") {
        problem.reason = format!("the setting `{}` is missing", quoted.next().unwrap_or_default());
        problem = problem.help(format!("{page} lists every setting and its default"));
    }
    problem
}

/// "did you mean" the nearest of `known`, or all of them where none is near.
#[must_use]
pub fn suggestion(given: &str, known: &[&str]) -> String {
    let distance = |name: &&&str| strsim::damerau_levenshtein(given, name);
    match known.iter().min_by_key(distance) {
        Some(near) if distance(&near) <= SLIP_EDITS => format!("did you mean `{near}`?"),
        _ => format!("one of: {}", known.join(", ")),
    }
}
