//! Holds `halyard-abi`'s written-out numbers against `linux-raw-sys` for the target, at compile time.

use halyard_abi::{for_each_call_number, for_each_open_flag, nr, open};

macro_rules! call_numbers {
    ($($name:ident = $number:literal = $raw:ident;)*) => {
        $(const _: () = assert!(nr::$name == halyard_abi::raw::general::$raw as usize);)*
    };
}

macro_rules! open_flags {
    ($($name:ident = $value:literal, $doc:literal;)*) => {
        $(const _: () = assert!(open::$name == halyard_abi::raw::general::$name);)*
    };
}

for_each_call_number!(call_numbers);
for_each_open_flag!(open_flags);
