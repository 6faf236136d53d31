//! Frames that are kept: the shortest of the fixtures of each Reason, and what a fault was found by.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::kernel::counted;

/// One frame a file, as it comes from the wire.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/frames");
/// Where it is set, the fixtures' frames are written.
const WRITE_VARIABLE: &str = "LANDFAST_WRITE_CORPUS";
/// Of each Reason.
const SHORTEST: usize = 6;

/// By name, in order. `build.rs` compiles them in.
pub(super) const FRAMES: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/frames.rs"));

/// Not a test of anything: the fixtures are written when they are asked for.
#[test]
fn the_corpus_is_made_from_the_fixtures() {
    if std::env::var_os(WRITE_VARIABLE).is_none() {
        return;
    }
    let mut by_reason = BTreeMap::<_, Vec<_>>::new();
    for fixture in counted::fixtures() {
        by_reason.entry(fixture.reason).or_default().push((fixture.sentence, fixture.frame));
    }
    fs::create_dir_all(FOLDER).expect("a folder");
    for (reason, mut fixtures) in by_reason {
        fixtures.sort_by_key(|(_, frame)| frame.len());
        // Of a sentence its shortest frame.
        let mut sentences = std::collections::BTreeSet::new();
        fixtures.retain(|(sentence, _)| sentences.insert(sentence.clone()));
        for (number, (_, frame)) in fixtures.iter().take(SHORTEST).enumerate() {
            let path = Path::new(FOLDER).join(format!("{}-{number}", reason.name()));
            fs::write(path, frame).expect("written");
        }
    }
}
