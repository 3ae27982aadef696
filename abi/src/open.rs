//! Flags of `open`, `openat`, `pipe2`, `fcntl(F_SETFL)` with the values of arm64.
//!
//! Six of them differ between architectures (`asm/fcntl.h`), so they are written out; `halyard-rt` asserts them
//! against `linux-raw-sys`.

/// Calls the macro `$callback` with the whole list, as `NAME = value, "meaning";` lines.
#[macro_export]
macro_rules! for_each_open_flag {
    ($callback:ident) => {
        $callback! {
            O_RDONLY = 0, "Read only.";
            O_WRONLY = 0o1, "Write only.";
            O_RDWR = 0o2, "Read and write.";
            O_ACCMODE = 0o3, "Mask of the three access modes.";
            O_CREAT = 0o100, "Create the file if it is absent.";
            O_EXCL = 0o200, "With `O_CREAT`: fail if it exists.";
            O_NOCTTY = 0o400, "Do not make the terminal the controlling one.";
            O_TRUNC = 0o1000, "Cut the file to length 0.";
            O_APPEND = 0o2000, "Write at the end.";
            O_NONBLOCK = 0o4000, "Never wait.";
            O_DSYNC = 0o10000, "Write data through.";
            FASYNC = 0o20000, "Signal when ready.";
            O_DIRECTORY = 0o40000, "Fail unless it is a directory.";
            O_NOFOLLOW = 0o100000, "Fail if the last part is a symbolic link.";
            O_DIRECT = 0o200000, "Without cache; for a pipe: packets.";
            O_LARGEFILE = 0o400000, "No meaning on 64-bit machines.";
            O_NOATIME = 0o1000000, "Do not touch the access time.";
            O_CLOEXEC = 0o2000000, "Close the descriptor on exec.";
            O_SYNC = 0o4010000, "Write data and metadata through.";
            O_PATH = 0o10000000, "Only name the file.";
            O_TMPFILE = 0o20040000, "An unnamed file in that directory.";
        }
    };
}

macro_rules! constants {
    ($($name:ident = $value:literal, $doc:literal;)*) => {
        $(
            #[doc = $doc]
            pub const $name: u32 = $value;
        )*
    };
}

for_each_open_flag!(constants);
