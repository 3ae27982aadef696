//! Processes that come and go: fork, exit codes, death by signal and by fault.

use halyard_rt::process::{Fork, Status};
use halyard_rt::{mm, nr, prelude::*, signal, wild};

use crate::runner::suite;
use crate::support::{Outcome, call, check, check_eq, in_child};

suite!(
    exit_code_reaches_the_parent,
    exit_code_keeps_its_low_byte,
    exit_of_a_lone_thread_ends_the_process,
    fork_gives_each_side_its_number,
    fork_of_many_children_gives_each_a_number,
    fault_on_unmapped_memory_is_sigsegv,
    fault_on_kernel_memory_is_sigsegv,
    fault_on_null_jump_is_sigsegv,
    fault_on_data_jump_is_sigsegv,
    fault_on_undefined_instruction_is_sigill,
    fault_on_stack_overflow_is_sigsegv,
    parent_number_becomes_another_when_it_exits,
);

fn exit_code_reaches_the_parent() -> Outcome {
    for code in [0, 1, 42, 255] {
        check_eq!(in_child(|| code)?, Status::Exited(code));
    }
    Ok(())
}

fn exit_code_keeps_its_low_byte() -> Outcome {
    check_eq!(in_child(|| 0x1234)?, Status::Exited(0x34));
    check_eq!(in_child(|| -1)?, Status::Exited(255));
    Ok(())
}

fn exit_of_a_lone_thread_ends_the_process() -> Outcome {
    let status = in_child(|| {
        let _ = call(nr::EXIT, [9]);
        1
    })?;
    check_eq!(status, Status::Exited(9));
    Ok(())
}

fn fork_gives_each_side_its_number() -> Outcome {
    let parent = process::id();
    match process::fork()? {
        Fork::Child => {
            let right = process::parent_id() == parent && process::id() != parent;
            process::exit(i32::from(!(right && process::thread_id() == process::id())));
        }
        Fork::Parent(child) => {
            check!(child > 1 && child != parent);
            check_eq!(process::wait_pid(child)?, Status::Exited(0));
        }
    }
    Ok(())
}

fn fork_of_many_children_gives_each_a_number() -> Outcome {
    let children = (0..40)
        .map(|code| process::spawn(|| code))
        .collect::<Result<Vec<_>>>()?;
    let mut sorted = children.clone();
    sorted.sort_unstable();
    sorted.dedup();
    check_eq!(sorted.len(), children.len());
    for (code, child) in children.iter().enumerate() {
        check_eq!(process::wait_pid(*child)?, Status::Exited(code as i32));
    }
    Ok(())
}

fn fault_on_unmapped_memory_is_sigsegv() -> Outcome {
    for address in [0, 8, 0x1000, 0x7fff_ffff_f000] {
        let status = in_child(|| i32::from(wild::load(address)))?;
        check_eq!(status, Status::Signaled(signal::SIGSEGV));
        let status = in_child(|| {
            wild::store(address, 1);
            0
        })?;
        check_eq!(status, Status::Signaled(signal::SIGSEGV));
    }
    Ok(())
}

fn fault_on_kernel_memory_is_sigsegv() -> Outcome {
    for address in [0xffff_0000_0000_0000, 0xffff_ffff_8000_0000, usize::MAX - 7] {
        let status = in_child(|| i32::from(wild::load(address)))?;
        check_eq!(status, Status::Signaled(signal::SIGSEGV));
    }
    Ok(())
}

fn fault_on_null_jump_is_sigsegv() -> Outcome {
    let status = in_child(|| {
        wild::run(0);
        0
    })?;
    check_eq!(status, Status::Signaled(signal::SIGSEGV));
    Ok(())
}

fn fault_on_data_jump_is_sigsegv() -> Outcome {
    let data = mm::Mapping::anonymous(
        mm::PAGE,
        mm::PROT_READ | mm::PROT_WRITE,
        mm::Sharing::Private,
    )?;
    // `ret`: it would come back, if it could be run.
    for (index, byte) in 0xd65f_03c0u32.to_le_bytes().into_iter().enumerate() {
        data.store(index, byte);
    }
    let status = in_child(|| {
        wild::run(data.address());
        0
    })?;
    check_eq!(status, Status::Signaled(signal::SIGSEGV));
    Ok(())
}

fn fault_on_undefined_instruction_is_sigill() -> Outcome {
    let code = mm::Mapping::anonymous(
        mm::PAGE,
        mm::PROT_READ | mm::PROT_WRITE,
        mm::Sharing::Private,
    )?;
    // All zero is `udf #0`.
    code.store(0, 0);
    code.protect(0, mm::PAGE, mm::PROT_READ | mm::PROT_EXEC)?;
    let status = in_child(|| {
        wild::run(code.address());
        0
    })?;
    check_eq!(status, Status::Signaled(signal::SIGILL));
    Ok(())
}

/// Uses a page of stack a level, as deep as it gets.
#[expect(unconditional_recursion, reason = "the stack is to overflow")]
fn dig(depth: u64) -> u64 {
    let page = [depth; 512];
    core::hint::black_box(&page);
    dig(depth + 1) + page[(depth & 511) as usize]
}

fn fault_on_stack_overflow_is_sigsegv() -> Outcome {
    let status = in_child(|| dig(1) as i32)?;
    check_eq!(status, Status::Signaled(signal::SIGSEGV));
    Ok(())
}

fn parent_number_becomes_another_when_it_exits() -> Outcome {
    let shared = crate::support::Shared::new()?;
    let middle = process::spawn(|| {
        let own = process::id();
        let _ = process::spawn(|| {
            while process::parent_id() == own {
                crate::support::sleep_ms(1);
            }
            shared.set(0, process::parent_id() as u32);
            0
        });
        0
    })?;
    process::wait_pid(middle)?;
    while shared.get(0) == 0 {
        crate::support::sleep_ms(1);
    }
    check!(shared.get(0) as i32 != middle);
    Ok(())
}
