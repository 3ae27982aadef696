//! What pages allow: mprotect, and the faults that tell.

use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use halyard_rt::mm::{Mapping, PAGE, PROT_EXEC, PROT_NONE, PROT_READ, PROT_WRITE, Sharing};
use halyard_rt::process::Status;
use halyard_rt::signal::{self, Action, Context, Info, SIGSEGV, SignalSet};
use halyard_rt::{nr, prelude::*, wild};

use crate::runner::suite;
use crate::support::{Outcome, call, check, check_eq, in_child};

suite!(
    mprotect_read_only_refuses_writes,
    mprotect_none_refuses_everything,
    mprotect_back_keeps_the_contents,
    mprotect_of_a_part_leaves_the_rest,
    mprotect_of_unmapped_is_enomem,
    mprotect_unaligned_is_einval,
    mprotect_executable_code_runs,
    own_code_refuses_writes,
    signal_12_fault_tells_address_and_reason,
    call_into_read_only_memory_is_efault,
);

const RW: u32 = PROT_READ | PROT_WRITE;

fn dies(body: impl FnOnce()) -> Result<bool> {
    let status = in_child(|| {
        body();
        0
    })?;
    Ok(status == Status::Signaled(SIGSEGV))
}

fn mprotect_read_only_refuses_writes() -> Outcome {
    let page = Mapping::anonymous(PAGE, RW, Sharing::Private)?;
    page.store(0, 3);
    page.protect(0, PAGE, PROT_READ)?;
    check_eq!(page.load(0), 3);
    check!(dies(|| page.store(0, 1))?);
    // Also where nothing was touched yet.
    let fresh = Mapping::anonymous(PAGE, PROT_READ, Sharing::Private)?;
    check_eq!(fresh.load(0), 0);
    check!(dies(|| fresh.store(0, 1))?);
    Ok(())
}

fn mprotect_none_refuses_everything() -> Outcome {
    let page = Mapping::anonymous(PAGE, RW, Sharing::Private)?;
    page.store(0, 3);
    page.protect(0, PAGE, PROT_NONE)?;
    check!(dies(|| _ = page.load(0))?);
    check!(dies(|| page.store(0, 1))?);
    Ok(())
}

fn mprotect_back_keeps_the_contents() -> Outcome {
    let page = Mapping::anonymous(PAGE, RW, Sharing::Private)?;
    page.store(0, 3);
    page.protect(0, PAGE, PROT_NONE)?;
    page.protect(0, PAGE, RW)?;
    check_eq!(page.load(0), 3);
    page.store(0, 4);
    check_eq!(page.load(0), 4);
    Ok(())
}

fn mprotect_of_a_part_leaves_the_rest() -> Outcome {
    let pages = Mapping::anonymous(5 * PAGE, RW, Sharing::Private)?;
    pages.protect(PAGE, 2 * PAGE, PROT_READ)?;
    for page in [0, 3, 4] {
        pages.store(page * PAGE, 1);
    }
    for page in [1, 2] {
        check!(dies(|| pages.store(page * PAGE, 1))?);
    }
    Ok(())
}

fn mprotect_of_unmapped_is_enomem() -> Outcome {
    let pages = Mapping::anonymous(3 * PAGE, RW, Sharing::Private)?;
    call(nr::MUNMAP, [pages.address() + PAGE, PAGE])?;
    check_eq!(pages.protect(0, 3 * PAGE, PROT_READ), Err(Errno::ENOMEM));
    let result = call(
        nr::MPROTECT,
        [0xffff_0000_0000_0000, PAGE, PROT_READ as usize],
    );
    check_eq!(result, Err(Errno::ENOMEM));
    Ok(())
}

fn mprotect_unaligned_is_einval() -> Outcome {
    let page = Mapping::anonymous(PAGE, RW, Sharing::Private)?;
    let result = call(nr::MPROTECT, [page.address() + 1, PAGE, PROT_READ as usize]);
    check_eq!(result, Err(Errno::EINVAL));
    check_eq!(call(nr::MPROTECT, [page.address(), 0, 0])?, 0);
    page.store(0, 1);
    Ok(())
}

fn mprotect_executable_code_runs() -> Outcome {
    let code = Mapping::anonymous(PAGE, RW, Sharing::Private)?;
    // `ret`
    for (index, byte) in 0xd65f_03c0u32.to_le_bytes().into_iter().enumerate() {
        code.store(index, byte);
    }
    wild::synchronise_code(code.address(), 4);
    code.protect(0, PAGE, PROT_READ | PROT_EXEC)?;
    wild::run(code.address());
    check!(dies(|| code.store(0, 1))?);
    code.protect(0, PAGE, PROT_READ)?;
    check!(dies(|| wild::run(code.address()))?);
    Ok(())
}

fn own_code_refuses_writes() -> Outcome {
    let code = own_code_refuses_writes as *const () as usize;
    let constant = b"constant".as_ptr() as usize;
    check!(dies(|| wild::store(code, 0))?);
    check!(dies(|| wild::store(constant, 0))?);
    Ok(())
}

static CODE: AtomicI32 = AtomicI32::new(0);
static ADDRESS: AtomicUsize = AtomicUsize::new(0);

/// Notes the fault and steps over the instruction.
extern "C" fn note(_: i32, info: &Info, context: &mut Context) {
    CODE.store(info.code, Ordering::SeqCst);
    ADDRESS.store(info.address(), Ordering::SeqCst);
    context.pc += 4;
}

fn signal_12_fault_tells_address_and_reason() -> Outcome {
    const SEGV_MAPERR: i32 = 1;
    const SEGV_ACCERR: i32 = 2;
    signal::set(SIGSEGV, Action::CallInfo(note), 0, SignalSet::EMPTY)?;
    let page = Mapping::anonymous(PAGE, PROT_READ, Sharing::Private)?;
    let seen = || (CODE.load(Ordering::SeqCst), ADDRESS.load(Ordering::SeqCst));
    wild::store(page.address() + 123, 1);
    check_eq!(seen(), (SEGV_ACCERR, page.address() + 123));
    let place = page.address() + 7;
    drop(page);
    wild::load(place);
    check_eq!(seen(), (SEGV_MAPERR, place));
    Ok(())
}

fn call_into_read_only_memory_is_efault() -> Outcome {
    let page = Mapping::anonymous(PAGE, PROT_READ, Sharing::Private)?;
    let zero = fs::open("/dev/zero")?;
    check_eq!(
        call(nr::READ, [zero.fd() as usize, page.address(), 8]),
        Err(Errno::EFAULT)
    );
    check_eq!(
        call(nr::CLOCK_GETTIME, [1, page.address()]),
        Err(Errno::EFAULT)
    );
    // Not even what is the program's own constant may change.
    let constant = b"constant".as_ptr() as usize;
    check_eq!(
        call(nr::READ, [zero.fd() as usize, constant, 8]),
        Err(Errno::EFAULT)
    );
    Ok(())
}
