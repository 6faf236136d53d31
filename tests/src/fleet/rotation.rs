//! Two fleet files in the middle of a rotation of every key: one of the nodes that know the next
//! keys, one of those that use them already.

use std::path::Path;

use anyhow::Result;
use edge_wire::cid::DEFAULT_LEN;
use fleet_wire::secrets::{self, EncapsulationSecret, Rotating, Secrets};

use crate::credentials::id_config;

/// Makes both from the first file, which has one key of each sort.
///
/// # Errors
/// Where a file cannot be read or written.
pub(super) fn write_the_middle([behind_file, ahead_file]: &[impl AsRef<Path>; 2]) -> Result<()> {
    let mut behind = Secrets::load(behind_file.as_ref())?;
    behind.connection_ids.push(id_config(1, DEFAULT_LEN, Some([0x71; 16])));
    behind.encapsulation_keys.push(EncapsulationSecret { key_id: 1, key: [0x72; 16] });
    let mut ahead = behind.clone();
    (ahead.mint, ahead.encapsulate_with) = (1, 1);
    rotate(&mut behind.tickets, &mut ahead.tickets, [0x73; 32]);
    rotate(&mut behind.tokens, &mut ahead.tokens, [0x74; 32]);
    secrets::write(behind_file.as_ref(), &behind, true)?;
    secrets::write(ahead_file.as_ref(), &ahead, true)?;
    Ok(())
}

fn rotate(behind: &mut Rotating, ahead: &mut Rotating, next: [u8; 32]) {
    behind.next = Some(next);
    (ahead.previous, ahead.current) = (Some(behind.current), next);
}
