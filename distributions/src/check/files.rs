//! `files` of a behaviour.

use settings::{Problem, Text};

use super::{Check, Checked};
use crate::file;
use crate::limits;
use crate::{Append, Coding, Files};

impl Check<'_> {
    pub(super) fn files(&mut self, files: &file::Files) -> Checked<Files> {
        let root = self.path(&files.root, "root");
        let index = match &files.index {
            None => Some(Some("index.html".into())),
            Some(name) if name.get_ref().is_empty() => Some(None),
            Some(name) => self.index(name).map(Some),
        };
        let words = [("path", Append::Path), ("rest", Append::Rest)];
        let append = self.word(&files.append, "append", &words, Append::Path);
        let words = [Coding::Brotli, Coding::Zstandard, Coding::Gzip].map(|it| (it.name(), it));
        let mut codings: Vec<Coding> = Vec::new();
        for word in &files.precompressed {
            let given = Some(word.clone());
            let coding = self.word(&given, "precompressed", &words, Coding::Gzip)?;
            if codings.contains(&coding) {
                self.refuse(
                    Problem::new(format!("`{}` is there twice", coding.name()))
                        .at(word.span(), "again")
                        .help("remove one"),
                );
            }
            codings.push(coding);
        }
        Some(Files { root: root?, index: index?, append: append?, precompressed: codings })
    }

    fn index(&mut self, text: &Text) -> Checked<Box<str>> {
        let name = text.get_ref().as_str();
        let good = name.len() <= limits::MAX_INDEX_NAME_BYTES
            && !name.starts_with('.')
            && !name.contains(['/', '\0']);
        if !good {
            self.refuse(
                Problem::new(format!("`{name}` is not the name of an index file"))
                    .at(text.span(), "not a name")
                    .help("a name without / and with no dot in front; \"\" where there is none"),
            );
        }
        good.then(|| name.into())
    }
}
