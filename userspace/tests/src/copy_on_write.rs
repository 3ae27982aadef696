//! Memory after a fork: each side has its own, as if it had been copied.

use halyard_rt::mm::{Mapping, PAGE, PROT_READ, PROT_WRITE, Sharing};
use halyard_rt::process::Status;
use halyard_rt::{fd, io, nr, prelude::*};

use crate::runner::suite;
use crate::support::{Outcome, Shared, call, check, check_eq, in_child};

suite!(
    cow_child_writes_stay_with_the_child,
    cow_parent_writes_stay_with_the_parent,
    cow_kernel_writes_stay_with_the_writer,
    cow_grandchildren_see_their_ancestors_moment,
    cow_last_owner_writes_in_place,
    cow_of_many_pages_keeps_every_one,
    cow_stack_and_data_are_copied_too,
);

const RW: u32 = PROT_READ | PROT_WRITE;

fn cow_child_writes_stay_with_the_child() -> Outcome {
    let page = Mapping::anonymous(PAGE, RW, Sharing::Private)?;
    page.store(0, 1);
    let status = in_child(|| {
        let seen = page.load(0);
        page.store(0, 2);
        i32::from(seen) * 10 + i32::from(page.load(0))
    })?;
    check_eq!(status, Status::Exited(12));
    check_eq!(page.load(0), 1);
    Ok(())
}

fn cow_parent_writes_stay_with_the_parent() -> Outcome {
    let shared = Shared::new()?;
    let page = Mapping::anonymous(PAGE, RW, Sharing::Private)?;
    page.store(0, 1);
    let child = process::spawn(|| {
        shared.await_value(0, 1);
        i32::from(page.load(0))
    })?;
    page.store(0, 2);
    shared.set(0, 1);
    check_eq!(process::wait_pid(child)?, Status::Exited(1));
    check_eq!(page.load(0), 2);
    Ok(())
}

fn cow_kernel_writes_stay_with_the_writer() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let page = Mapping::anonymous(PAGE, RW, Sharing::Private)?;
    page.store(0, 1);
    io::write_all(&writer, &[2; 8])?;
    let status = in_child(|| {
        let _ = call(nr::READ, [reader.fd() as usize, page.address(), 8]);
        i32::from(page.load(0))
    })?;
    check_eq!(status, Status::Exited(2));
    check_eq!(page.load(0), 1);
    Ok(())
}

fn cow_grandchildren_see_their_ancestors_moment() -> Outcome {
    let page = Mapping::anonymous(PAGE, RW, Sharing::Private)?;
    page.store(0, 1);
    let status = in_child(|| {
        page.store(0, 2);
        let inner = in_child(|| {
            let seen = page.load(0);
            page.store(0, 3);
            i32::from(seen)
        });
        match inner {
            Ok(Status::Exited(2)) => i32::from(page.load(0)),
            _ => 100,
        }
    })?;
    check_eq!(status, Status::Exited(2));
    check_eq!(page.load(0), 1);
    Ok(())
}

fn cow_last_owner_writes_in_place() -> Outcome {
    let page = Mapping::anonymous(PAGE, RW, Sharing::Private)?;
    for round in 0..20 {
        page.store(1, round);
        check_eq!(
            in_child(|| i32::from(page.load(1)))?,
            Status::Exited(i32::from(round))
        );
        page.store(1, round + 1);
        check_eq!(page.load(1), round + 1);
    }
    Ok(())
}

fn cow_of_many_pages_keeps_every_one() -> Outcome {
    const PAGES: usize = 256;
    let pages = Mapping::anonymous(PAGES * PAGE, RW, Sharing::Private)?;
    (0..PAGES).for_each(|page| pages.store(page * PAGE, page as u8));
    let child = process::spawn(|| {
        let kept = (0..PAGES).all(|page| pages.load(page * PAGE) == page as u8);
        (0..PAGES).for_each(|page| pages.store(page * PAGE, 0xcc));
        let changed = (0..PAGES).all(|page| pages.load(page * PAGE) == 0xcc);
        i32::from(!(kept && changed))
    })?;
    (0..PAGES)
        .step_by(2)
        .for_each(|page| pages.store(page * PAGE + 1, 0xdd));
    check_eq!(process::wait_pid(child)?, Status::Exited(0));
    check!((0..PAGES).all(|page| pages.load(page * PAGE) == page as u8));
    Ok(())
}

fn cow_stack_and_data_are_copied_too() -> Outcome {
    use core::sync::atomic::{AtomicU32, Ordering};
    static DATA: AtomicU32 = AtomicU32::new(5);
    let mut local = core::hint::black_box(5);
    let boxed = Box::new(AtomicU32::new(5));
    let status = in_child(|| {
        DATA.store(6, Ordering::SeqCst);
        boxed.store(6, Ordering::SeqCst);
        local = core::hint::black_box(6);
        local
    })?;
    check_eq!(status, Status::Exited(6));
    check_eq!(DATA.load(Ordering::SeqCst), 5);
    check_eq!(boxed.load(Ordering::SeqCst), 5);
    check_eq!(core::hint::black_box(local), 5);
    Ok(())
}
