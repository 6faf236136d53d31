//! Two fleet files in the middle of a rotation of every key: one of the nodes that know the next
//! keys, one of those that use them already.

use anyhow::{Result, ensure};

const CONNECTION_ID_KEY: &str = "000102030405060708090a0b0c0d0e0f";
const RESET_KEY: &str = "101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f";
const ENCAPSULATION_KEY: &str = "303132333435363738393a3b3c3d3e3f";
/// Of tickets and of tokens, which are different ones.
const NEXT: [(&str, &str); 2] = [
    ("tickets", "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f"),
    ("tokens", "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f"),
];

/// The files of both, made from one with one key of each sort, as `fleet init` writes it.
///
/// # Errors
/// Where it is not such a file.
pub(super) fn in_the_middle(init: &str) -> Result<[String; 2]> {
    let new_id = format!(
        "[[connection_ids]]\nconfig_id = 1\nmode = \"encrypted\"\nkey = \"{CONNECTION_ID_KEY}\"\n\
         reset_key = \"{RESET_KEY}\"\n\n[encapsulation]\n"
    );
    let new_key =
        format!("[[encapsulation.keys]]\nkey_id = 1\nkey = \"{ENCAPSULATION_KEY}\"\n\n[tickets]\n");
    let mut behind = init.to_owned();
    replace(&mut behind, "[encapsulation]\n", &new_id)?;
    replace(&mut behind, "[tickets]\n", &new_key)?;
    let mut ahead = behind.clone();
    replace(&mut ahead, "mint = 0", "mint = 1")?;
    replace(&mut ahead, "send_with = 0", "send_with = 1")?;
    for (section, next) in NEXT {
        let current = format!("[{section}]\ncurrent = ");
        replace(&mut behind, &current, &format!("[{section}]\nnext = \"{next}\"\ncurrent = "))?;
        let previous = format!("[{section}]\ncurrent = \"{next}\"\nprevious = ");
        replace(&mut ahead, &current, &previous)?;
    }
    Ok([behind, ahead])
}

fn replace(text: &mut String, from: &str, to: &str) -> Result<()> {
    ensure!(text.matches(from).count() == 1, "no fleet file as `fleet init` writes it: {from:?}");
    *text = text.replace(from, to);
    Ok(())
}
