//! An XDP program that passes everything, for the far ends of nodes' links.
//!
//! veth delivers what a program sends by `XDP_TX` only where the receiving end has a program too:
//! without one it queues the frame and never wakes the receiver.

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::programs::{Xdp, XdpMode};

const NAME: &str = "pass";

/// The program, attached for as long as this value lives.
#[derive(Debug)]
pub struct PassProgram {
    _ebpf: Ebpf,
}

impl PassProgram {
    /// Attaches to devices of the calling thread's namespace.
    ///
    /// # Errors
    /// Where the kernel refuses, usually because there is a program already.
    pub fn attach<'a>(devices: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut ebpf = Ebpf::load(&object()).context("the program that passes everything")?;
        let program: &mut Xdp = ebpf.program_mut(NAME).context("it has a name")?.try_into()?;
        program.load()?;
        for device in devices {
            program.attach(device, XdpMode::Driver).with_context(|| device.to_owned())?;
        }
        Ok(Self { _ebpf: ebpf })
    }
}

/// `r0 = XDP_PASS; exit`, as the loader wants it: an ELF64 object with one section of code.
fn object() -> Vec<u8> {
    const CODE: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 2, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    const NAMES: &[u8; 32] = b"\0xdp\0.symtab\0.strtab\0pass\0\0\0\0\0\0\0";
    const SYMBOLS_AT: u64 = 64 + 16;
    const NAMES_AT: u64 = SYMBOLS_AT + 2 * 24;
    const SECTIONS_AT: u64 = NAMES_AT + NAMES.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec(); // 64 bit, little-endian, version 1
    elf.resize(16, 0);
    elf.extend([1, 0, 247, 0, 1, 0, 0, 0]); // relocatable, eBPF, version 1
    elf.extend([0, 0, SECTIONS_AT].map(u64::to_le_bytes).as_flattened());
    elf.extend([0; 4]);
    // Sizes of this header, of program headers (none), of section headers (4, the last has names).
    elf.extend([64_u16, 0, 0, 64, 4, 3].map(u16::to_le_bytes).as_flattened());
    elf.extend(CODE.as_flattened());
    elf.extend([0; 24]); // the first symbol is none
    elf.extend(21_u32.to_le_bytes()); // named "pass"
    elf.extend([0x12, 0, 1, 0]); // a global function of section 1
    elf.extend([0, 16_u64].map(u64::to_le_bytes).as_flattened());
    elf.extend(NAMES);
    elf.extend([0; 64]); // the first section is none
    section(&mut elf, [1, 1], 6, [64, 16], [0, 0], 0); // "xdp": code
    section(&mut elf, [5, 2], 0, [SYMBOLS_AT, 48], [3, 1], 24); // ".symtab"
    section(&mut elf, [13, 3], 0, [NAMES_AT, 32], [0, 0], 0); // ".strtab"
    elf
}

fn section(
    elf: &mut Vec<u8>,
    name_and_kind: [u32; 2],
    flags: u64,
    place_and_size: [u64; 2],
    link_and_info: [u32; 2],
    entry_size: u64,
) {
    elf.extend(name_and_kind.map(u32::to_le_bytes).as_flattened());
    elf.extend([flags, 0].map(u64::to_le_bytes).as_flattened());
    elf.extend(place_and_size.map(u64::to_le_bytes).as_flattened());
    elf.extend(link_and_info.map(u32::to_le_bytes).as_flattened());
    elf.extend([8, entry_size].map(u64::to_le_bytes).as_flattened());
}
