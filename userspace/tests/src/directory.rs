//! Directories: making, removing, listing, renaming, the working directory.

use alloc::collections::BTreeSet;

use halyard_rt::fs::{self, Kind};
use halyard_rt::process::Status;
use halyard_rt::{nr, prelude::*};

use crate::runner::suite;
use crate::support::{Outcome, call, check, check_eq, in_child};

suite!(
    mkdir_of_existing_is_eexist,
    mkdir_counts_links,
    rmdir_of_what_is_not_empty_is_enotempty,
    rmdir_of_a_file_is_enotdir,
    unlink_of_a_directory_is_eisdir,
    rmdir_of_dot_is_einval,
    listing_shows_every_name_once,
    listing_of_many_names_is_complete,
    listing_with_small_buffer_is_einval,
    listing_of_a_removed_directory_is_enoent,
    rename_replaces_a_file,
    rename_of_directory_into_itself_is_einval,
    rename_between_kinds_fails,
    rename_of_nothing_is_enoent,
    rename_to_the_same_file_does_nothing,
    rename_moves_directories_with_contents,
    dots_lead_where_they_should,
    chdir_changes_what_names_mean,
    chdir_is_inherited_and_private,
    getcwd_too_small_is_erange,
    fchdir_goes_to_an_open_directory,
    search_permission_is_asked_of_others,
);

fn mkdir_of_existing_is_eexist() -> Outcome {
    fs::create_dir("/tmp/mk", 0o700)?;
    check_eq!(fs::metadata("/tmp/mk")?.permissions(), 0o700);
    check_eq!(fs::create_dir("/tmp/mk", 0o700), Err(Errno::EEXIST));
    check_eq!(fs::create_dir("/", 0o700), Err(Errno::EEXIST));
    check_eq!(fs::create_dir("/nowhere/x", 0o700), Err(Errno::ENOENT));
    // A closing slash is no part of the name.
    fs::create_dir("/tmp/mk/in/", 0o700)?;
    fs::remove_dir("/tmp/mk/in/")?;
    fs::remove_dir("/tmp/mk")?;
    check_eq!(fs::remove_dir("/tmp/mk"), Err(Errno::ENOENT));
    Ok(())
}

fn mkdir_counts_links() -> Outcome {
    fs::create_dir("/tmp/count", 0o755)?;
    check_eq!(fs::metadata("/tmp/count")?.links(), 2);
    fs::create_dir("/tmp/count/a", 0o755)?;
    fs::create_dir("/tmp/count/b", 0o755)?;
    check_eq!(fs::metadata("/tmp/count")?.links(), 4);
    fs::remove_dir("/tmp/count/a")?;
    check_eq!(fs::metadata("/tmp/count")?.links(), 3);
    fs::remove_dir("/tmp/count/b")?;
    fs::remove_dir("/tmp/count")?;
    Ok(())
}

fn rmdir_of_what_is_not_empty_is_enotempty() -> Outcome {
    fs::create_dir("/tmp/full", 0o755)?;
    fs::write("/tmp/full/file", b"")?;
    check_eq!(fs::remove_dir("/tmp/full"), Err(Errno::ENOTEMPTY));
    fs::remove_file("/tmp/full/file")?;
    fs::remove_dir("/tmp/full")?;
    Ok(())
}

fn rmdir_of_a_file_is_enotdir() -> Outcome {
    fs::write("/tmp/no_directory", b"")?;
    check_eq!(fs::remove_dir("/tmp/no_directory"), Err(Errno::ENOTDIR));
    fs::remove_file("/tmp/no_directory")?;
    check_eq!(fs::remove_file("/tmp/no_directory"), Err(Errno::ENOENT));
    Ok(())
}

fn unlink_of_a_directory_is_eisdir() -> Outcome {
    fs::create_dir("/tmp/no_file", 0o755)?;
    check_eq!(fs::remove_file("/tmp/no_file"), Err(Errno::EISDIR));
    fs::remove_dir("/tmp/no_file")?;
    Ok(())
}

fn rmdir_of_dot_is_einval() -> Outcome {
    fs::create_dir("/tmp/dots", 0o755)?;
    check_eq!(fs::remove_dir("/tmp/dots/."), Err(Errno::EINVAL));
    check_eq!(fs::remove_dir("/tmp/dots/.."), Err(Errno::ENOTEMPTY));
    fs::remove_dir("/tmp/dots")?;
    Ok(())
}

fn names(path: &str) -> Result<Vec<String>> {
    let entries = fs::read_dir(path)?;
    let text = |entry: fs::Entry| String::from_utf8_lossy(&entry.name).into_owned();
    let mut names: Vec<String> = entries.into_iter().map(text).collect();
    names.sort_unstable();
    Ok(names)
}

fn listing_shows_every_name_once() -> Outcome {
    fs::create_dir("/tmp/list", 0o755)?;
    fs::create_dir("/tmp/list/directory", 0o755)?;
    fs::write("/tmp/list/file", b"")?;
    fs::symlink("file", "/tmp/list/link")?;
    check_eq!(
        names("/tmp/list")?,
        [".", "..", "directory", "file", "link"]
    );
    for entry in fs::read_dir("/tmp/list")? {
        let name = String::from_utf8_lossy(&entry.name).into_owned();
        let found = fs::symlink_metadata(format!("/tmp/list/{name}"))?;
        check_eq!((&name, entry.inode), (&name, found.inode()));
        let kind = match found.kind() {
            Kind::Directory => 4,
            Kind::Regular => 8,
            Kind::Symlink => 10,
            _ => 0,
        };
        check_eq!((&name, entry.kind), (&name, kind));
    }
    fs::remove_file("/tmp/list/link")?;
    fs::remove_file("/tmp/list/file")?;
    fs::remove_dir("/tmp/list/directory")?;
    check_eq!(names("/tmp/list")?, [".", ".."]);
    fs::remove_dir("/tmp/list")?;
    Ok(())
}

fn listing_of_many_names_is_complete() -> Outcome {
    const COUNT: usize = 300;
    fs::create_dir("/tmp/many", 0o755)?;
    for index in 0..COUNT {
        fs::write(format!("/tmp/many/name_{index}"), b"")?;
    }
    let listed = names("/tmp/many")?;
    check_eq!(listed.len(), COUNT + 2);
    let unique: BTreeSet<&String> = listed.iter().collect();
    check_eq!(unique.len(), COUNT + 2);
    for index in 0..COUNT {
        fs::remove_file(format!("/tmp/many/name_{index}"))?;
    }
    fs::remove_dir("/tmp/many")?;
    Ok(())
}

fn listing_with_small_buffer_is_einval() -> Outcome {
    let directory = fs::open("/tmp")?;
    let buffer = [0u64; 8];
    let at = buffer.as_ptr() as usize;
    check_eq!(
        call(nr::GETDENTS64, [directory.fd() as usize, at, 10]),
        Err(Errno::EINVAL)
    );
    check_eq!(
        call(nr::GETDENTS64, [directory.fd() as usize, 8, 512]),
        Err(Errno::EFAULT)
    );
    let null = fs::open("/dev/null")?;
    check_eq!(
        call(nr::GETDENTS64, [null.fd() as usize, at, 64]),
        Err(Errno::ENOTDIR)
    );
    Ok(())
}

fn listing_of_a_removed_directory_is_enoent() -> Outcome {
    fs::create_dir("/tmp/gone", 0o755)?;
    let directory = fs::open("/tmp/gone")?;
    fs::remove_dir("/tmp/gone")?;
    let buffer = [0u64; 64];
    let at = buffer.as_ptr() as usize;
    let result = call(nr::GETDENTS64, [directory.fd() as usize, at, 512]);
    check_eq!(result, Err(Errno::ENOENT));
    call(nr::FCHDIR, [directory.fd() as usize])?;
    check_eq!(fs::write("new", b""), Err(Errno::ENOENT));
    check_eq!(fs::current_dir(), Err(Errno::ENOENT));
    Ok(())
}

fn rename_replaces_a_file() -> Outcome {
    fs::write("/tmp/rename_a", b"a")?;
    fs::write("/tmp/rename_b", b"b")?;
    let inode = fs::metadata("/tmp/rename_a")?.inode();
    fs::rename("/tmp/rename_a", "/tmp/rename_b")?;
    check!(!fs::exists("/tmp/rename_a"));
    check_eq!(fs::read("/tmp/rename_b")?, b"a");
    check_eq!(fs::metadata("/tmp/rename_b")?.inode(), inode);
    fs::remove_file("/tmp/rename_b")?;
    Ok(())
}

fn rename_of_directory_into_itself_is_einval() -> Outcome {
    fs::create_dir("/tmp/loop", 0o755)?;
    fs::create_dir("/tmp/loop/in", 0o755)?;
    check_eq!(
        fs::rename("/tmp/loop", "/tmp/loop/in/x"),
        Err(Errno::EINVAL)
    );
    check_eq!(fs::rename("/tmp/loop", "/tmp/loop/x"), Err(Errno::EINVAL));
    fs::remove_dir("/tmp/loop/in")?;
    fs::remove_dir("/tmp/loop")?;
    Ok(())
}

fn rename_between_kinds_fails() -> Outcome {
    fs::create_dir("/tmp/kind_d", 0o755)?;
    fs::create_dir("/tmp/kind_e", 0o755)?;
    fs::write("/tmp/kind_f", b"")?;
    check_eq!(fs::rename("/tmp/kind_f", "/tmp/kind_d"), Err(Errno::EISDIR));
    check_eq!(
        fs::rename("/tmp/kind_d", "/tmp/kind_f"),
        Err(Errno::ENOTDIR)
    );
    fs::write("/tmp/kind_e/x", b"")?;
    check_eq!(
        fs::rename("/tmp/kind_d", "/tmp/kind_e"),
        Err(Errno::ENOTEMPTY)
    );
    fs::remove_file("/tmp/kind_e/x")?;
    fs::rename("/tmp/kind_d", "/tmp/kind_e")?;
    fs::remove_dir("/tmp/kind_e")?;
    fs::remove_file("/tmp/kind_f")?;
    Ok(())
}

fn rename_of_nothing_is_enoent() -> Outcome {
    check_eq!(fs::rename("/tmp/nothing", "/tmp/x"), Err(Errno::ENOENT));
    check_eq!(fs::rename("/tmp/nothing", "/nowhere/x"), Err(Errno::ENOENT));
    Ok(())
}

fn rename_to_the_same_file_does_nothing() -> Outcome {
    fs::write("/tmp/same_a", b"s")?;
    fs::link("/tmp/same_a", "/tmp/same_b")?;
    fs::rename("/tmp/same_a", "/tmp/same_a")?;
    fs::rename("/tmp/same_a", "/tmp/same_b")?;
    check!(fs::exists("/tmp/same_a") && fs::exists("/tmp/same_b"));
    fs::remove_file("/tmp/same_a")?;
    fs::remove_file("/tmp/same_b")?;
    Ok(())
}

fn rename_moves_directories_with_contents() -> Outcome {
    fs::create_dir("/tmp/move_a", 0o755)?;
    fs::create_dir("/tmp/move_b", 0o755)?;
    fs::create_dir("/tmp/move_a/d", 0o755)?;
    fs::write("/tmp/move_a/d/file", b"deep")?;
    fs::rename("/tmp/move_a/d", "/tmp/move_b/e")?;
    check_eq!(fs::read("/tmp/move_b/e/file")?, b"deep");
    // `..` leads to the new parent.
    let parent = fs::metadata("/tmp/move_b/e/..")?.inode();
    check_eq!(parent, fs::metadata("/tmp/move_b")?.inode());
    fs::remove_file("/tmp/move_b/e/file")?;
    fs::remove_dir("/tmp/move_b/e")?;
    fs::remove_dir("/tmp/move_a")?;
    fs::remove_dir("/tmp/move_b")?;
    Ok(())
}

fn dots_lead_where_they_should() -> Outcome {
    let root = fs::metadata("/")?.inode();
    for path in ["/.", "/..", "/../..", "//", "/tmp/..", "/tmp/.././/tmp/.."] {
        check_eq!((path, fs::metadata(path)?.inode()), (path, root));
    }
    check_eq!(
        fs::metadata("/tmp/nothing/..").map(drop),
        Err(Errno::ENOENT)
    );
    Ok(())
}

fn chdir_changes_what_names_mean() -> Outcome {
    fs::create_dir("/tmp/cd", 0o755)?;
    fs::set_current_dir("/tmp/cd")?;
    check_eq!(fs::current_dir()?, "/tmp/cd");
    fs::write("file", b"")?;
    check!(fs::exists("/tmp/cd/file"));
    fs::set_current_dir("..")?;
    check_eq!(fs::current_dir()?, "/tmp");
    check_eq!(fs::set_current_dir("cd/file"), Err(Errno::ENOTDIR));
    check_eq!(fs::set_current_dir("nowhere"), Err(Errno::ENOENT));
    fs::remove_file("cd/file")?;
    fs::remove_dir("cd")?;
    fs::set_current_dir("/")?;
    check_eq!(fs::current_dir()?, "/");
    Ok(())
}

fn chdir_is_inherited_and_private() -> Outcome {
    fs::set_current_dir("/tmp")?;
    let status = in_child(|| {
        let inherited = fs::current_dir().as_deref() == Ok("/tmp");
        let _ = fs::set_current_dir("/");
        i32::from(!inherited)
    })?;
    check_eq!(status, Status::Exited(0));
    check_eq!(fs::current_dir()?, "/tmp");
    Ok(())
}

fn getcwd_too_small_is_erange() -> Outcome {
    fs::set_current_dir("/tmp")?;
    let buffer = [0u8; 16];
    let at = buffer.as_ptr() as usize;
    check_eq!(call(nr::GETCWD, [at, 4]), Err(Errno::ERANGE));
    // The length counts the NUL.
    check_eq!(call(nr::GETCWD, [at, 5])?, 5);
    check_eq!(call(nr::GETCWD, [8, 100]), Err(Errno::EFAULT));
    Ok(())
}

fn fchdir_goes_to_an_open_directory() -> Outcome {
    let directory = fs::open("/tmp")?;
    call(nr::FCHDIR, [directory.fd() as usize])?;
    check_eq!(fs::current_dir()?, "/tmp");
    let null = fs::open("/dev/null")?;
    check_eq!(call(nr::FCHDIR, [null.fd() as usize]), Err(Errno::ENOTDIR));
    Ok(())
}

fn search_permission_is_asked_of_others() -> Outcome {
    fs::create_dir("/tmp/closed", 0o700)?;
    fs::write("/tmp/closed/file", b"")?;
    fs::write("/tmp/private", b"")?;
    fs::set_permissions("/tmp/private", 0o600)?;
    let status = in_child(|| {
        let other = call(nr::SETGID, [1000]).and_then(|_| call(nr::SETUID, [1000]));
        let refused = other.is_ok()
            && fs::open("/tmp/closed/file").map(drop) == Err(Errno::EACCES)
            && fs::read_dir("/tmp/closed").map(drop) == Err(Errno::EACCES)
            && fs::open("/tmp/private").map(drop) == Err(Errno::EACCES)
            && fs::write("/root/x", b"") == Err(Errno::EACCES)
            && fs::set_permissions("/tmp/private", 0o666) == Err(Errno::EPERM)
            // The directory is sticky: only the owner removes.
            && fs::remove_file("/tmp/private") == Err(Errno::EPERM);
        let own = fs::write("/tmp/own", b"").is_ok() && fs::remove_file("/tmp/own").is_ok();
        i32::from(!(refused && own))
    })?;
    check_eq!(status, Status::Exited(0));
    fs::remove_file("/tmp/private")?;
    fs::remove_file("/tmp/closed/file")?;
    fs::remove_dir("/tmp/closed")?;
    Ok(())
}
