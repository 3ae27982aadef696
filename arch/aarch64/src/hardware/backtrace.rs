//! Backtraces by frame pointer (AAPCS64 6.2.3), with the names of functions where the image has them.

use core::fmt;

use super::kernel_map::{self, Image};
use crate::symbols::Symbols;

const MAX_FRAMES: usize = 32;

/// What stands before the bytes of a build id in its ELF note: three sizes and the name "GNU".
const NOTE_HEADER: usize = 16;

unsafe extern "C" {
    static __build_id_start: u8;
    static __build_id_end: u8;
    static __symbols_start: u8;
    static __symbols_end: u8;
}

fn symbols() -> Symbols<'static> {
    let start = &raw const __symbols_start;
    let length = (&raw const __symbols_end).addr() - start.addr();
    // SAFETY: the linker script reserves these bytes in the image's read-only part, and nothing writes them.
    Symbols::new(unsafe { core::slice::from_raw_parts(start, length) })
}

/// The build id that the linker gave this kernel; nothing if it gave none.
pub(crate) fn build_id() -> &'static [u8] {
    let start = &raw const __build_id_start;
    let length = (&raw const __build_id_end).addr() - start.addr();
    // SAFETY: the linker script places the note in the image's read-only part, and nothing writes it.
    let note = unsafe { core::slice::from_raw_parts(start, length) };
    note.get(NOTE_HEADER..).unwrap_or_default()
}

/// The build id, in hexadecimal.
pub(crate) struct BuildId;

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        build_id()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A code address, shown with the function that it is in.
pub(crate) struct Code(pub(crate) u64);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)?;
        let offset = (self.0 as usize).wrapping_sub(Image::base());
        match symbols().find(offset) {
            Some((name, into)) if offset < Image::text_end() - Image::base() => {
                write!(f, " {name} + {into:#x}")
            }
            _ => Ok(()),
        }
    }
}

/// Prints who called whom, from the frame record at `frame`.
pub(crate) fn print(frame: u64) {
    let mut frame = frame as usize;
    for _ in 0..MAX_FRAMES {
        if !frame.is_multiple_of(16)
            || !kernel_map::is_stack(frame)
            || !kernel_map::is_mapped(frame)
        {
            return;
        }
        // SAFETY: aligned and mapped, hence readable; whatever it holds is only printed or checked again.
        let [next, caller] = unsafe { *(frame as *const [u64; 2]) };
        if caller == 0 {
            return;
        }
        // The instruction before the return address is the call.
        super::console::println!("  {}", Code(caller - 4));
        if next as usize <= frame {
            return;
        }
        frame = next as usize;
    }
}
