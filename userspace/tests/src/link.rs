//! Links: second names and symbolic ones.

use halyard_rt::fs::{self, Kind};
use halyard_rt::{open, prelude::*};

use crate::runner::suite;
use crate::support::{Outcome, check, check_eq};

suite!(
    link_is_the_same_file,
    link_to_existing_name_is_eexist,
    link_of_a_directory_is_eperm,
    symlink_leads_to_its_target,
    symlink_relative_starts_at_its_directory,
    symlink_to_nothing_is_enoent_but_there,
    symlink_loop_is_eloop,
    symlink_chain_has_an_end,
    symlink_nofollow_is_eloop,
    symlink_removed_leaves_its_target,
    symlink_in_the_middle_is_always_followed,
    create_through_dangling_symlink_makes_the_target,
    readlink_of_a_file_is_einval,
    readlink_cuts_to_the_buffer,
);

fn link_is_the_same_file() -> Outcome {
    fs::write("/tmp/link_a", b"x")?;
    fs::link("/tmp/link_a", "/tmp/link_b")?;
    let (a, b) = (fs::metadata("/tmp/link_a")?, fs::metadata("/tmp/link_b")?);
    check_eq!((a.inode(), a.links()), (b.inode(), 2));
    fs::write("/tmp/link_b", b"longer")?;
    check_eq!(fs::read("/tmp/link_a")?, b"longer");
    fs::remove_file("/tmp/link_a")?;
    check_eq!(fs::metadata("/tmp/link_b")?.links(), 1);
    check_eq!(fs::read("/tmp/link_b")?, b"longer");
    fs::remove_file("/tmp/link_b")?;
    Ok(())
}

fn link_to_existing_name_is_eexist() -> Outcome {
    fs::write("/tmp/link_c", b"")?;
    check_eq!(fs::link("/tmp/link_c", "/tmp"), Err(Errno::EEXIST));
    check_eq!(fs::link("/tmp/link_c", "/tmp/link_c"), Err(Errno::EEXIST));
    check_eq!(fs::link("/tmp/nothing", "/tmp/x"), Err(Errno::ENOENT));
    fs::remove_file("/tmp/link_c")?;
    Ok(())
}

fn link_of_a_directory_is_eperm() -> Outcome {
    check_eq!(fs::link("/tmp", "/tmp/link_d"), Err(Errno::EPERM));
    Ok(())
}

fn symlink_leads_to_its_target() -> Outcome {
    fs::write("/tmp/sym_target", b"reached")?;
    fs::symlink("/tmp/sym_target", "/tmp/sym")?;
    check_eq!(fs::read("/tmp/sym")?, b"reached");
    check_eq!(fs::read_link("/tmp/sym")?, b"/tmp/sym_target");
    let link = fs::symlink_metadata("/tmp/sym")?;
    check_eq!((link.kind(), link.size()), (Kind::Symlink, 15));
    check_eq!(fs::metadata("/tmp/sym")?.kind(), Kind::Regular);
    check_eq!(fs::symlink("x", "/tmp/sym"), Err(Errno::EEXIST));
    fs::remove_file("/tmp/sym")?;
    fs::remove_file("/tmp/sym_target")?;
    Ok(())
}

fn symlink_relative_starts_at_its_directory() -> Outcome {
    fs::create_dir("/tmp/symdir", 0o755)?;
    fs::write("/tmp/symdir/file", b"near")?;
    fs::symlink("file", "/tmp/symdir/near")?;
    fs::symlink("../symdir/./file", "/tmp/symdir/round")?;
    check_eq!(fs::read("/tmp/symdir/near")?, b"near");
    check_eq!(fs::read("/tmp/symdir/round")?, b"near");
    for name in ["round", "near", "file"] {
        fs::remove_file(format!("/tmp/symdir/{name}"))?;
    }
    fs::remove_dir("/tmp/symdir")?;
    Ok(())
}

fn symlink_to_nothing_is_enoent_but_there() -> Outcome {
    fs::symlink("/tmp/nothing", "/tmp/dangling")?;
    check_eq!(fs::open("/tmp/dangling").map(drop), Err(Errno::ENOENT));
    check_eq!(fs::metadata("/tmp/dangling").map(drop), Err(Errno::ENOENT));
    check!(fs::symlink_metadata("/tmp/dangling").is_ok());
    fs::remove_file("/tmp/dangling")?;
    check_eq!(fs::symlink("", "/tmp/empty"), Err(Errno::ENOENT));
    Ok(())
}

fn symlink_loop_is_eloop() -> Outcome {
    fs::symlink("/tmp/loop_b", "/tmp/loop_a")?;
    fs::symlink("/tmp/loop_a", "/tmp/loop_b")?;
    fs::symlink("loop_self", "/tmp/loop_self")?;
    for path in ["/tmp/loop_a", "/tmp/loop_b/x", "/tmp/loop_self"] {
        check_eq!((path, fs::open(path).map(drop)), (path, Err(Errno::ELOOP)));
    }
    for path in ["/tmp/loop_a", "/tmp/loop_b", "/tmp/loop_self"] {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Linux follows 40 links in one name (path_resolution(7)).
fn symlink_chain_has_an_end() -> Outcome {
    fs::write("/tmp/chain_0", b"end")?;
    for index in 1..=41 {
        fs::symlink(
            format!("chain_{}", index - 1),
            format!("/tmp/chain_{index}"),
        )?;
    }
    check_eq!(fs::read("/tmp/chain_40")?, b"end");
    check_eq!(fs::read("/tmp/chain_41"), Err(Errno::ELOOP));
    for index in 0..=41 {
        fs::remove_file(format!("/tmp/chain_{index}"))?;
    }
    Ok(())
}

fn symlink_nofollow_is_eloop() -> Outcome {
    fs::symlink("/tmp", "/tmp/nofollow")?;
    let flags = open::O_RDONLY | open::O_NOFOLLOW;
    check_eq!(
        fs::open_with("/tmp/nofollow", flags, 0).map(drop),
        Err(Errno::ELOOP)
    );
    let directory = fs::open_with("/tmp/nofollow", flags | open::O_DIRECTORY, 0);
    check_eq!(directory.map(drop), Err(Errno::ENOTDIR));
    fs::remove_file("/tmp/nofollow")?;
    Ok(())
}

fn symlink_removed_leaves_its_target() -> Outcome {
    fs::write("/tmp/left", b"")?;
    fs::symlink("/tmp/left", "/tmp/left_link")?;
    fs::rename("/tmp/left_link", "/tmp/left_other")?;
    check_eq!(
        fs::symlink_metadata("/tmp/left_other")?.kind(),
        Kind::Symlink
    );
    fs::remove_file("/tmp/left_other")?;
    check!(fs::exists("/tmp/left"));
    fs::remove_file("/tmp/left")?;
    Ok(())
}

fn symlink_in_the_middle_is_always_followed() -> Outcome {
    fs::create_dir("/tmp/middle", 0o755)?;
    fs::write("/tmp/middle/file", b"m")?;
    fs::symlink("middle", "/tmp/middle_link")?;
    check_eq!(fs::read("/tmp/middle_link/file")?, b"m");
    check_eq!(
        fs::symlink_metadata("/tmp/middle_link/")?.kind(),
        Kind::Directory
    );
    check_eq!(fs::remove_dir("/tmp/middle_link"), Err(Errno::ENOTDIR));
    fs::remove_file("/tmp/middle_link/file")?;
    fs::remove_file("/tmp/middle_link")?;
    fs::remove_dir("/tmp/middle")?;
    Ok(())
}

fn create_through_dangling_symlink_makes_the_target() -> Outcome {
    fs::symlink("made", "/tmp/maker")?;
    fs::write("/tmp/maker", b"made it")?;
    check_eq!(fs::read("/tmp/made")?, b"made it");
    fs::remove_file("/tmp/maker")?;
    fs::remove_file("/tmp/made")?;
    Ok(())
}

fn readlink_of_a_file_is_einval() -> Outcome {
    check_eq!(fs::read_link("/tmp"), Err(Errno::EINVAL));
    check_eq!(fs::read_link("/tmp/nothing"), Err(Errno::ENOENT));
    Ok(())
}

fn readlink_cuts_to_the_buffer() -> Outcome {
    fs::symlink("0123456789", "/tmp/cut")?;
    let buffer = core::hint::black_box([0u8; 4]);
    let path = c"/tmp/cut".as_ptr() as usize;
    let at = halyard_rt::raw::general::AT_FDCWD as usize;
    let place = buffer.as_ptr() as usize;
    let call = |length| crate::support::call(halyard_rt::nr::READLINKAT, [at, path, place, length]);
    check_eq!(call(4)?, 4);
    check_eq!(call(0), Err(Errno::EINVAL));
    fs::remove_file("/tmp/cut")?;
    Ok(())
}
