//! `ipc_call`'s `info`: which objects live.

use halyard_abi::ipc_call::{InfoRecord, NAME_BYTES};
use zerocopy::{Immutable, IntoBytes};

use super::{Answer, Call, Outcome};
use crate::Result;
use crate::counters;
use crate::machine::UserAddr;

/// [`InfoRecord`] as it is copied out.
#[derive(Clone, Copy, IntoBytes, Immutable)]
#[repr(C)]
struct Record {
    kind: [u8; NAME_BYTES],
    id: i64,
    count: u64,
}

const _: () = assert!(size_of::<Record>() == size_of::<InfoRecord>());

/// (records, room): copies as many records as there is room for and returns how many there are. EFAULT.
pub(super) fn info(call: &mut Call<'_>) -> Answer {
    let mut list = List {
        call,
        room: call.size::<1>(),
        count: 0,
    };
    for (kind, name) in counters::NAMES {
        list.add(name, -1, counters::live(kind) as u64)?;
    }
    let kernel = list.call.kernel;
    let mut outcome = Ok(());
    kernel.sysv.for_each(|kind, id, users| {
        let mut names = counters::NAMES.iter();
        if let Some((_, name)) = names.find(|(known, _)| *known == kind)
            && outcome.is_ok()
        {
            outcome = list.add(name, i64::from(id), users as u64);
        }
    });
    outcome?;
    Ok(Outcome::Done(list.count))
}

/// The program's array as it fills.
struct List<'a, 'b> {
    call: &'a Call<'b>,
    room: usize,
    count: usize,
}

impl List<'_, '_> {
    /// One more record, copied out if it fits. EFAULT.
    fn add(&mut self, name: &str, id: i64, count: u64) -> Result<()> {
        if self.count < self.room {
            let offset = self.count.wrapping_mul(size_of::<Record>());
            let at = UserAddr(self.call.addr::<0>().0.wrapping_add(offset));
            self.call.space().write_user(
                at,
                &Record {
                    kind: padded(name),
                    id,
                    count,
                },
            )?;
        }
        self.count += 1;
        Ok(())
    }
}

/// `name` in a record's field, zero bytes behind it; cut if it is longer.
fn padded(name: &str) -> [u8; NAME_BYTES] {
    let mut field = [0; NAME_BYTES];
    for (to, from) in field.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    field
}
