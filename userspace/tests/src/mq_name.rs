//! POSIX message queues: names, permissions, limits, and what the descriptor of a queue is.

use halyard_rt::fd;
use halyard_rt::mqueue::{self as mq, Attributes, Notify};
use halyard_rt::process::Status;
use halyard_rt::raw::general::RLIMIT_MSGQUEUE;
use halyard_rt::{fs, io, nr, open, prelude::*};

use crate::runner::suite;
use crate::support::{Outcome, WILD, call, check, check_eq, in_child};

suite!(
    mq_name_without_slash_is_einval,
    mq_name_of_slash_alone_is_enoent,
    mq_name_with_a_second_slash_is_eacces,
    mq_name_of_dots_is_eacces,
    mq_name_too_long_is_enametoolong,
    mq_name_at_bad_address_is_efault,
    mq_open_without_creat_of_no_queue_is_enoent,
    mq_open_exclusive_of_a_queue_is_eexist,
    mq_open_attributes_count_at_creation_alone,
    mq_open_attribute_not_positive_is_einval,
    mq_open_without_attributes_takes_10_of_8192,
    mq_open_descriptor_closes_on_exec,
    mq_open_checks_the_permissions,
    mq_open_permissions_lose_the_umask,
    mq_open_beyond_rlimit_is_emfile,
    mq_unlink_of_no_queue_is_enoent,
    mq_unlink_keeps_open_descriptors_working,
    mq_unlink_by_a_stranger_is_refused,
    mq_unlinked_name_can_be_made_anew,
    mq_descriptor_is_a_regular_file_that_tells_of_the_queue,
    mq_file_length_can_be_set_and_means_nothing,
    mq_descriptor_is_shared_over_fork_and_dup,
    mq_calls_on_another_file_are_ebadf,
    mq_getsetattr_changes_nonblock_alone,
);

const RW: u32 = open::O_RDWR;

/// A queue that has lost its name.
pub(crate) fn nameless(messages: i64, bytes: i64) -> Result<Fd> {
    const NAME: &str = "/nameless";
    let _ = mq::unlink(NAME);
    let size = Some((messages, bytes));
    let queue = mq::create(NAME, RW | open::O_EXCL, 0o600, size)?;
    mq::unlink(NAME)?;
    Ok(queue)
}

fn mq_name_without_slash_is_einval() -> Outcome {
    check_eq!(
        mq::create("plain", RW, 0o600, None).map(drop),
        Err(Errno::EINVAL)
    );
    check_eq!(mq::unlink("plain"), Err(Errno::EINVAL));
    Ok(())
}

fn mq_name_of_slash_alone_is_enoent() -> Outcome {
    check_eq!(
        mq::create("/", RW, 0o600, None).map(drop),
        Err(Errno::ENOENT)
    );
    check_eq!(mq::unlink("/"), Err(Errno::ENOENT));
    Ok(())
}

fn mq_name_with_a_second_slash_is_eacces() -> Outcome {
    for name in ["/a/b", "//a", "/a/"] {
        check_eq!(
            mq::create(name, RW, 0o600, None).map(drop),
            Err(Errno::EACCES)
        );
    }
    Ok(())
}

fn mq_name_of_dots_is_eacces() -> Outcome {
    for name in ["/.", "/.."] {
        check_eq!(
            mq::create(name, RW, 0o600, None).map(drop),
            Err(Errno::EACCES)
        );
    }
    Ok(())
}

fn mq_name_too_long_is_enametoolong() -> Outcome {
    let long = format!("/{}", "x".repeat(256));
    check_eq!(
        mq::create(&long, RW, 0o600, None).map(drop),
        Err(Errno::ENAMETOOLONG)
    );
    let longest = &long[..256];
    drop(mq::create(longest, RW, 0o600, None)?);
    mq::unlink(longest)?;
    Ok(())
}

fn mq_name_at_bad_address_is_efault() -> Outcome {
    for at in WILD {
        check_eq!(
            call(nr::MQ_OPEN, [at, RW as usize, 0, 0]),
            Err(Errno::EFAULT)
        );
        check_eq!(call(nr::MQ_UNLINK, [at]), Err(Errno::EFAULT));
    }
    Ok(())
}

fn mq_open_without_creat_of_no_queue_is_enoent() -> Outcome {
    check_eq!(mq::open("/there-is-none", RW).map(drop), Err(Errno::ENOENT));
    Ok(())
}

fn mq_open_exclusive_of_a_queue_is_eexist() -> Outcome {
    let _ = mq::unlink("/exclusive");
    let first = mq::create("/exclusive", RW | open::O_EXCL, 0o600, None)?;
    let second = mq::create("/exclusive", RW | open::O_EXCL, 0o600, None);
    check_eq!(second.map(drop), Err(Errno::EEXIST));
    // Without it, the queue that is there is opened.
    let third = mq::create("/exclusive", RW, 0o600, None)?;
    mq::send(&first, b"same", 0)?;
    check_eq!(mq::attributes(&third)?.messages, 1);
    mq::unlink("/exclusive")?;
    Ok(())
}

fn mq_open_attributes_count_at_creation_alone() -> Outcome {
    let _ = mq::unlink("/shape");
    let first = mq::create("/shape", RW, 0o600, Some((3, 17)))?;
    let second = mq::create("/shape", RW, 0o600, Some((5, 100)))?;
    mq::unlink("/shape")?;
    for queue in [&first, &second] {
        let found = mq::attributes(queue)?;
        check_eq!((found.max_messages, found.message_size), (3, 17));
    }
    Ok(())
}

fn mq_open_attribute_not_positive_is_einval() -> Outcome {
    for size in [
        (0, 1),
        (1, 0),
        (-1, 1),
        (1, -1),
        (i64::MAX, 1),
        (1, i64::MAX),
    ] {
        let made = mq::create("/bad-shape", RW, 0o600, Some(size));
        check_eq!(made.map(drop), Err(Errno::EINVAL));
    }
    Ok(())
}

fn mq_open_without_attributes_takes_10_of_8192() -> Outcome {
    let _ = mq::unlink("/usual");
    let queue = mq::create("/usual", RW, 0o600, None)?;
    mq::unlink("/usual")?;
    let expected = Attributes {
        max_messages: 10,
        message_size: 8192,
        ..Attributes::default()
    };
    check_eq!(mq::attributes(&queue)?, expected);
    Ok(())
}

fn mq_open_descriptor_closes_on_exec() -> Outcome {
    check!(fd::cloexec(&nameless(1, 1)?)?);
    Ok(())
}

/// Runs `body` in a child that is user 4711.
fn as_stranger(body: impl FnOnce() -> bool) -> Result<Status> {
    in_child(|| {
        let changed = call(nr::SETGID, [4711]).and_then(|_| call(nr::SETUID, [4711]));
        if changed.is_err() {
            return 2;
        }
        i32::from(!body())
    })
}

fn mq_open_checks_the_permissions() -> Outcome {
    let _ = mq::unlink("/guarded");
    // For others: to be read alone.
    let _queue = mq::create("/guarded", RW, 0o604, None)?;
    let status = as_stranger(|| {
        mq::open("/guarded", open::O_RDONLY).is_ok()
            && mq::open("/guarded", open::O_WRONLY) == Err(Errno::EACCES)
            && mq::open("/guarded", RW) == Err(Errno::EACCES)
    })?;
    mq::unlink("/guarded")?;
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn mq_open_permissions_lose_the_umask() -> Outcome {
    let _ = mq::unlink("/masked");
    call(nr::UMASK, [0o027])?;
    let queue = mq::create("/masked", RW, 0o666, None)?;
    mq::unlink("/masked")?;
    check_eq!(fs::metadata_of(&queue)?.permissions(), 0o640);
    Ok(())
}

fn mq_open_beyond_rlimit_is_emfile() -> Outcome {
    let limits = [10_000u64, 10_000];
    let resource = RLIMIT_MSGQUEUE as usize;
    call(nr::PRLIMIT64, [0, resource, limits.as_ptr() as usize, 0])?;
    let _ = mq::unlink("/heavy");
    let heavy = mq::create("/heavy", RW, 0o600, Some((10, 1000)));
    check_eq!(heavy.map(drop), Err(Errno::EMFILE));
    let light = mq::create("/heavy", RW, 0o600, Some((1, 1000)))?;
    mq::unlink("/heavy")?;
    mq::send(&light, &[0; 1000], 0)?;
    Ok(())
}

fn mq_unlink_of_no_queue_is_enoent() -> Outcome {
    check_eq!(mq::unlink("/there-is-none"), Err(Errno::ENOENT));
    Ok(())
}

fn mq_unlink_keeps_open_descriptors_working() -> Outcome {
    let queue = nameless(2, 8)?;
    mq::send(&queue, b"still", 1)?;
    let mut buffer = [0; 8];
    check_eq!(mq::receive(&queue, &mut buffer)?, (5, 1));
    check_eq!(&buffer[..5], b"still");
    check_eq!(fs::metadata_of(&queue)?.links(), 0);
    Ok(())
}

fn mq_unlink_by_a_stranger_is_refused() -> Outcome {
    let _ = mq::unlink("/owned");
    let _queue = mq::create("/owned", RW, 0o666, None)?;
    let status = as_stranger(|| matches!(mq::unlink("/owned"), Err(Errno::EACCES | Errno::EPERM)))?;
    mq::unlink("/owned")?;
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn mq_unlinked_name_can_be_made_anew() -> Outcome {
    let _ = mq::unlink("/anew");
    let old = mq::create("/anew", RW, 0o600, None)?;
    mq::send(&old, b"old", 0)?;
    mq::unlink("/anew")?;
    let new = mq::create("/anew", RW | open::O_EXCL, 0o600, None)?;
    mq::unlink("/anew")?;
    check_eq!(mq::attributes(&new)?.messages, 0);
    check_eq!(mq::attributes(&old)?.messages, 1);
    Ok(())
}

fn mq_descriptor_is_a_regular_file_that_tells_of_the_queue() -> Outcome {
    let queue = nameless(2, 8)?;
    let metadata = fs::metadata_of(&queue)?;
    check_eq!((metadata.kind(), metadata.size()), (fs::Kind::Regular, 80));
    mq::send(&queue, b"12345", 0)?;
    mq::notify(&queue, Some(Notify::Nothing))?;
    let mut text = [0; 100];
    let count = io::pread(&queue, &mut text, 0)?;
    let text = String::from_utf8_lossy(&text[..count]).into_owned();
    let words: Vec<&str> = text.split_whitespace().collect();
    let pid = format!("NOTIFY_PID:{}", process::id());
    check_eq!(words, ["QSIZE:5", "NOTIFY:1", "SIGNO:0", pid.as_str()]);
    check_eq!(io::write(&queue, b"x"), Err(Errno::EINVAL));
    check_eq!(io::readable_bytes(&queue)?, 80);
    check_eq!(io::read(&queue, &mut [0; 10])?, 10);
    check_eq!(io::readable_bytes(&queue)?, 70);
    check_eq!(fd::flags(&queue)?, open::O_RDWR);
    Ok(())
}

fn mq_file_length_can_be_set_and_means_nothing() -> Outcome {
    let queue = nameless(2, 8)?;
    fs::set_length(&queue, 5000)?;
    check_eq!(fs::metadata_of(&queue)?.size(), 5000);
    check_eq!(io::readable_bytes(&queue)?, 5000);
    fs::set_length(&queue, 0)?;
    let mut text = [0; 100];
    check!(io::pread(&queue, &mut text, 0)? > 0);
    check_eq!(fs::set_length(&queue, 1 << 31), Err(Errno::EINVAL));
    check_eq!(mq::send(&queue, b"12345", 0), Ok(()));
    Ok(())
}

fn mq_descriptor_is_shared_over_fork_and_dup() -> Outcome {
    let queue = nameless(4, 8)?;
    let second = fd::dup(&queue)?;
    let status = in_child(|| {
        let _ = mq::set_nonblocking(&queue, true);
        i32::from(mq::send(&queue, b"child", 3).is_err())
    })?;
    check_eq!(status, Status::Exited(0));
    let mut buffer = [0; 8];
    check_eq!(mq::receive(&second, &mut buffer)?, (5, 3));
    check_eq!(mq::receive(&second, &mut buffer), Err(Errno::EAGAIN));
    Ok(())
}

fn mq_calls_on_another_file_are_ebadf() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    for number in [reader.fd(), writer.fd(), 987, -1] {
        check_eq!(mq::send(number, b"x", 0), Err(Errno::EBADF));
        check_eq!(mq::receive(number, &mut [0; 9]), Err(Errno::EBADF));
        check_eq!(mq::attributes(number), Err(Errno::EBADF));
        check_eq!(mq::notify(number, None), Err(Errno::EBADF));
    }
    Ok(())
}

fn mq_getsetattr_changes_nonblock_alone() -> Outcome {
    let queue = nameless(2, 8)?;
    let asked = Attributes {
        flags: i64::from(open::O_NONBLOCK),
        max_messages: 99,
        message_size: 99,
        messages: 99,
        ..Attributes::default()
    };
    check_eq!(mq::exchange(&queue, Some(asked))?.flags, 0);
    let now = mq::attributes(&queue)?;
    check_eq!(now.flags, i64::from(open::O_NONBLOCK));
    check_eq!(
        (now.max_messages, now.message_size, now.messages),
        (2, 8, 0)
    );
    check!(fd::flags(&queue)? & open::O_NONBLOCK != 0);
    let bad = Attributes {
        flags: i64::from(open::O_APPEND),
        ..asked
    };
    check_eq!(mq::exchange(&queue, Some(bad)), Err(Errno::EINVAL));
    check_eq!(mq::set_nonblocking(&queue, false)?.flags, now.flags);
    check_eq!(mq::attributes(&queue)?.flags, 0);
    Ok(())
}
