//! Threads: one process, several flows; and the registers that each has for itself.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use halyard_rt::process::Status;
use halyard_rt::thread::{self, futex_wait, futex_wake};
use halyard_rt::{fd, nr, prelude::*, signal, wild};

use crate::runner::suite;
use crate::support::{Outcome, call, check, check_eq, in_child, sleep_ms};

suite!(
    thread_shares_memory_and_number,
    thread_shares_descriptors_and_directory,
    threads_count_under_a_lock,
    thread_wakes_another_by_futex,
    thread_exit_leaves_the_process,
    thread_exit_group_ends_all,
    thread_main_exit_leaves_the_others,
    thread_fault_ends_all,
    thread_kill_ends_all,
    thread_fork_copies_only_the_caller,
    thread_exec_ends_the_others,
    thread_clone_bad_flags_are_einval,
    threads_many_come_and_go,
    vectors_survive_calls_and_switches,
    signal_22_vectors_survive_signal_handlers,
    vectors_are_copied_by_fork,
);

fn thread_shares_memory_and_number() -> Outcome {
    static SEEN: AtomicI32 = AtomicI32::new(0);
    let worker = thread::spawn(|| {
        let own = process::thread_id();
        if own != process::id() {
            SEEN.store(own, Ordering::SeqCst);
        }
    })?;
    let id = worker.id();
    worker.join();
    check_eq!(SEEN.load(Ordering::SeqCst), id);
    Ok(())
}

fn thread_shares_descriptors_and_directory() -> Outcome {
    static OPENED: AtomicI32 = AtomicI32::new(-1);
    thread::spawn(|| {
        if let Ok(file) = fs::open("/dev/null") {
            OPENED.store(file.into_raw(), Ordering::SeqCst);
        }
        let _ = fs::set_current_dir("/tmp");
    })?
    .join();
    check_eq!(fd::close(OPENED.load(Ordering::SeqCst)), Ok(()));
    check_eq!(fs::current_dir()?, "/tmp");
    Ok(())
}

fn threads_count_under_a_lock() -> Outcome {
    static LOCK: AtomicU32 = AtomicU32::new(0);
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let workers = (0..4)
        .map(|_| {
            thread::spawn(|| {
                for _ in 0..500 {
                    while LOCK.swap(1, Ordering::Acquire) != 0 {
                        let _ = futex_wait(&LOCK, 1, Some(core::time::Duration::from_millis(5)));
                    }
                    COUNT.store(COUNT.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                    LOCK.store(0, Ordering::Release);
                    let _ = futex_wake(&LOCK, 1);
                }
            })
        })
        .collect::<Result<Vec<_>>>()?;
    workers.into_iter().for_each(thread::Thread::join);
    check_eq!(COUNT.load(Ordering::SeqCst), 2000);
    Ok(())
}

fn thread_wakes_another_by_futex() -> Outcome {
    static TURN: AtomicU32 = AtomicU32::new(0);
    const ROUNDS: u32 = 300;
    let step = |own: u32| {
        for _ in 0..ROUNDS {
            while TURN.load(Ordering::SeqCst) % 2 != own {
                let _ = futex_wait(&TURN, 1 - own, None).is_ok();
            }
            TURN.store(1 - own, Ordering::SeqCst);
            let _ = futex_wake(&TURN, 1);
        }
    };
    let worker = thread::spawn(move || step(1))?;
    step(0);
    worker.join();
    Ok(())
}

fn thread_exit_leaves_the_process() -> Outcome {
    let status = in_child(|| {
        let Ok(worker) = thread::spawn(|| thread::exit()) else {
            return 1;
        };
        worker.join();
        7
    })?;
    check_eq!(status, Status::Exited(7));
    Ok(())
}

fn thread_exit_group_ends_all() -> Outcome {
    let status = in_child(|| {
        let _worker = thread::spawn(|| process::exit(8));
        loop {
            sleep_ms(1000);
        }
    })?;
    check_eq!(status, Status::Exited(8));
    Ok(())
}

fn thread_main_exit_leaves_the_others() -> Outcome {
    let status = in_child(|| {
        let _worker = thread::spawn(|| {
            sleep_ms(50);
            process::exit(9)
        });
        thread::exit()
    })?;
    check_eq!(status, Status::Exited(9));
    Ok(())
}

fn thread_fault_ends_all() -> Outcome {
    let status = in_child(|| {
        let _worker = thread::spawn(|| _ = wild::load(8));
        loop {
            sleep_ms(1000);
        }
    })?;
    check_eq!(status, Status::Signaled(signal::SIGSEGV));
    Ok(())
}

fn thread_kill_ends_all() -> Outcome {
    let status = in_child(|| {
        for _ in 0..3 {
            let _worker = thread::spawn(|| {
                loop {
                    core::hint::spin_loop();
                }
            });
        }
        sleep_ms(10);
        let _ = process::kill(process::id(), signal::SIGKILL);
        loop {
            core::hint::spin_loop();
        }
    })?;
    check_eq!(status, Status::Signaled(signal::SIGKILL));
    Ok(())
}

fn thread_fork_copies_only_the_caller() -> Outcome {
    static BEATS: AtomicU32 = AtomicU32::new(0);
    static DONE: AtomicBool = AtomicBool::new(false);
    let worker = thread::spawn(|| {
        while !DONE.load(Ordering::SeqCst) {
            BEATS.fetch_add(1, Ordering::SeqCst);
            process::yield_now();
        }
    })?;
    let status = in_child(|| {
        let before = BEATS.load(Ordering::SeqCst);
        sleep_ms(20);
        i32::from(BEATS.load(Ordering::SeqCst) != before)
    })?;
    DONE.store(true, Ordering::SeqCst);
    worker.join();
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn thread_exec_ends_the_others() -> Outcome {
    let status = in_child(|| {
        let _worker = thread::spawn(|| {
            sleep_ms(100);
            process::exit(1)
        });
        match process::wait_pid(process::id()) {
            Err(_) => {}
            Ok(_) => return 2,
        }
        let errno = process::exec_same_env("/proc/self/exe", ["tests", "--helper", "sleep", "200"]);
        let errno = match errno {
            Errno::ENOENT => {
                process::exec_same_env("/bin/tests", ["tests", "--helper", "sleep", "200"])
            }
            other => other,
        };
        println!("# exec: {errno}");
        3
    })?;
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn thread_clone_bad_flags_are_einval() -> Outcome {
    use halyard_rt::raw::general::{CLONE_SIGHAND, CLONE_THREAD, CLONE_VM};
    // A thread shares handlers, and handlers are of one memory.
    for flags in [CLONE_THREAD, CLONE_THREAD | CLONE_VM, CLONE_SIGHAND] {
        check_eq!(
            call(nr::CLONE, [flags as usize, 0, 0, 0, 0]),
            Err(Errno::EINVAL)
        );
    }
    Ok(())
}

fn threads_many_come_and_go() -> Outcome {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let before = crate::system::live_objects();
    for _ in 0..20 {
        let workers = (0..8)
            .map(|_| thread::spawn(|| _ = COUNT.fetch_add(1, Ordering::SeqCst)))
            .collect::<Result<Vec<_>>>()?;
        workers.into_iter().for_each(thread::Thread::join);
    }
    check_eq!(COUNT.load(Ordering::SeqCst), 160);
    check!(crate::system::live_objects_settled(&before) == before);
    Ok(())
}

fn vectors_survive_calls_and_switches() -> Outcome {
    let children = (1..=4u64)
        .map(|pattern| {
            process::spawn(|| {
                let whole = (0..50).all(|round| {
                    wild::vectors_survive(pattern << 32 | round, || {
                        process::yield_now();
                        sleep_ms(1);
                    })
                });
                i32::from(!whole)
            })
        })
        .collect::<Result<Vec<_>>>()?;
    for child in children {
        check_eq!(process::wait_pid(child)?, Status::Exited(0));
    }
    Ok(())
}

extern "C" fn spoil(_: i32) {
    // Other values in every vector register.
    wild::vectors_survive(0x5555_0000, || {});
}

fn signal_22_vectors_survive_signal_handlers() -> Outcome {
    signal::set(
        signal::SIGUSR1,
        signal::Action::Call(spoil),
        0,
        signal::SignalSet::EMPTY,
    )?;
    let whole = wild::vectors_survive(0x7777_0000, || {
        let _ = process::kill(process::id(), signal::SIGUSR1);
        let _ = fs::current_dir();
    });
    check!(whole);
    Ok(())
}

fn vectors_are_copied_by_fork() -> Outcome {
    static CHILD: AtomicI32 = AtomicI32::new(0);
    let whole = wild::vectors_survive(0x1234_0000, || {
        if let Ok(process::Fork::Parent(child)) = process::fork() {
            CHILD.store(child, Ordering::SeqCst);
        }
    });
    match CHILD.load(Ordering::SeqCst) {
        0 => process::exit(i32::from(!whole)),
        child => check_eq!(process::wait_pid(child)?, Status::Exited(0)),
    }
    check!(whole);
    Ok(())
}
