//! From what a file says to what may be relied on. Every mistake is noted, none ends the check.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use crate::problem::{Problem, suggestion};

/// Text of the file with its place.
pub type Text = Spanned<String>;
/// A whole number of the file with its place.
pub type Number = Spanned<i64>;
/// A value, or nothing where it was refused and a [`Problem`] noted.
pub type Checked<T> = Option<T>;

/// The mistakes found so far.
#[derive(Default)]
pub struct Check {
    problems: Vec<Problem>,
}

impl Check {
    /// Notes a mistake.
    pub fn refuse(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// The value, if nothing was wrong with it or anything else.
    ///
    /// # Errors
    /// All that was.
    pub fn finish<T>(self, value: Checked<T>) -> Result<T, Vec<Problem>> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => Err(self.problems),
        }
    }

    /// A number within `range`.
    pub fn number<T>(&mut self, number: &Number, name: &str, range: RangeInclusive<T>) -> Checked<T>
    where
        T: Copy + TryFrom<i64> + PartialOrd + Display,
    {
        let checked = T::try_from(*number.get_ref()).ok().filter(|value| range.contains(value));
        if checked.is_none() {
            let (low, high) = (range.start(), range.end());
            let reason = format!("`{name}` is {}: it must be {low} to {high}", number.get_ref());
            self.refuse(Problem::new(reason).at(number.span(), "out of range"));
        }
        checked
    }

    /// A number within `range`, or `default` where the file has none.
    pub fn number_or<T>(
        &mut self,
        number: &Option<Number>,
        name: &str,
        range: RangeInclusive<T>,
        default: T,
    ) -> Checked<T>
    where
        T: Copy + TryFrom<i64> + PartialOrd + Display,
    {
        number.as_ref().map_or(Some(default), |number| self.number(number, name, range))
    }

    /// Whole seconds within `range`.
    pub fn seconds(
        &mut self,
        number: &Option<Number>,
        name: &str,
        range: RangeInclusive<Duration>,
        default: Duration,
    ) -> Checked<Duration> {
        let range = range.start().as_secs()..=range.end().as_secs();
        self.number_or(number, name, range, default.as_secs()).map(Duration::from_secs)
    }

    /// Whole milliseconds within `range`.
    pub fn milliseconds(
        &mut self,
        number: &Option<Number>,
        name: &str,
        range: RangeInclusive<Duration>,
        default: Duration,
    ) -> Checked<Duration> {
        let whole = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let range = whole(*range.start())..=whole(*range.end());
        self.number_or(number, name, range, whole(default)).map(Duration::from_millis)
    }

    /// One of the words that are `known`, or `default` where the file has none.
    pub fn word<T: Copy>(
        &mut self,
        word: &Option<Text>,
        name: &str,
        known: &[(&str, T)],
        default: T,
    ) -> Checked<T> {
        let Some(word) = word else { return Some(default) };
        let found = known.iter().find(|(known, _)| known == word.get_ref());
        if found.is_none() {
            let known: Vec<_> = known.iter().map(|(word, _)| *word).collect();
            self.refuse(
                Problem::new(format!("`{name}` cannot be `{}`", word.get_ref()))
                    .at(word.span(), "not known")
                    .help(suggestion(word.get_ref(), &known)),
            );
        }
        found.map(|(_, value)| *value)
    }

    /// An absolute path.
    pub fn path(&mut self, path: &Text, name: &str) -> Checked<PathBuf> {
        if !path.get_ref().starts_with('/') {
            self.refuse(
                Problem::new(format!("`{name}` is not an absolute path"))
                    .at(path.span(), "relative")
                    .help("write it from / on: the process may be started in any directory"),
            );
            return None;
        }
        Some(PathBuf::from(path.get_ref()))
    }

    /// An absolute path, or `default` where the file has none.
    pub fn path_or(&mut self, path: &Option<Text>, name: &str, default: &Path) -> Checked<PathBuf> {
        path.as_ref().map_or_else(|| Some(default.to_owned()), |path| self.path(path, name))
    }

    /// An address with a port, or `default` where the file has none.
    pub fn address_or(
        &mut self,
        address: &Option<Text>,
        name: &str,
        default: SocketAddr,
    ) -> Checked<SocketAddr> {
        let Some(address) = address else { return Some(default) };
        let parsed = address.get_ref().parse().ok();
        if parsed.is_none() {
            self.refuse(
                Problem::new(format!("`{name}` is no address with a port"))
                    .at(address.span(), "not an address")
                    .help(format!("as in \"{default}\" or \"[::1]:{}\"", default.port())),
            );
        }
        parsed
    }

    /// That there are not more than `most` of something.
    pub fn at_most(
        &mut self,
        most: usize,
        count: usize,
        what: &str,
        place: Range<usize>,
    ) -> Checked<()> {
        if count <= most {
            return Some(());
        }
        let reason = format!("{count} {what}: at most {most} are possible");
        self.refuse(Problem::new(reason).at(place, "too many"));
        None
    }

    /// Notes that something stands twice.
    pub fn twice(&mut self, what: String, first: Range<usize>, second: Range<usize>, help: &str) {
        self.refuse(Problem::new(what).at(first, "first here").at(second, "again here").help(help));
    }
}
