//! Compiles the corpus of frames into the cases: they also run in machines where there are no
//! files but theirs.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

const FOLDER: &str = "corpus/frames";

fn main() {
    println!("cargo::rerun-if-changed={FOLDER}");
    let folder = Path::new(&env::var_os("CARGO_MANIFEST_DIR").expect("by cargo")).join(FOLDER);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the corpus")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let mut list = String::from("[");
    for file in files {
        let name = file.file_name().expect("a file");
        writeln!(list, "({name:?}, include_bytes!({file:?})),").expect("a string");
    }
    list += "]";
    let out = Path::new(&env::var_os("OUT_DIR").expect("by cargo")).join("frames.rs");
    fs::write(out, list).expect("a place for what is made");
}
