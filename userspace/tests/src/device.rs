//! The board's devices as files. What a board has not is skipped; what they do is the same on Linux.

use halyard_rt::gpio::{ACTIVE_LOW, Chip, INPUT, OUTPUT};
use halyard_rt::i2c::Bus;
use halyard_rt::{nr, open, prelude::*};

use crate::runner::suite;
use crate::support::{Failure, Outcome, call, check, check_eq};

suite!(
    hwrng_reads_whole_and_differs_each_time,
    hwrng_to_a_bad_buffer_is_efault,
    i2c_read_of_an_absent_device_is_no_acknowledge,
    i2c_wrong_transactions_are_einval,
    i2c_address_beyond_seven_bits_is_einval,
    i2c_unknown_request_is_enotty,
    gpio_output_is_read_back,
    gpio_line_is_one_programs_at_a_time_and_given_back,
    gpio_wrong_requests_are_einval,
    gpio_input_is_not_set,
    watchdog_has_its_number,
);

const I2C_SLAVE: usize = 0x0703;
const I2C_FUNCS: usize = 0x0705;
const I2C_RDWR: usize = 0x0707;

/// The device, or the reason why it can't be tested.
fn device(path: &str, flags: u32) -> core::result::Result<Fd, Failure> {
    match fs::open_with(path, flags, 0) {
        Ok(device) => Ok(device),
        Err(errno @ (Errno::ENOENT | Errno::ENODEV | Errno::ENXIO)) => {
            Err(Failure::Skip(format!("{path}: {errno}")))
        }
        Err(errno) => Err(errno.into()),
    }
}

fn hwrng_reads_whole_and_differs_each_time() -> Outcome {
    let generator = device("/dev/hwrng", open::O_RDONLY)?;
    let mut first = [0; 256];
    let mut second = [0; 256];
    for bytes in [&mut first, &mut second] {
        let mut done = 0;
        while done < bytes.len() {
            let count = io::read(&generator, &mut bytes[done..])?;
            check!(count > 0);
            done += count;
        }
    }
    check!(first != second);
    let zeros = first.iter().filter(|byte| **byte == 0).count();
    check!(zeros < 32);
    Ok(())
}

fn hwrng_to_a_bad_buffer_is_efault() -> Outcome {
    let generator = device("/dev/hwrng", open::O_RDONLY)?;
    let read = call(nr::READ, [generator.fd() as usize, 8, 16]);
    check_eq!(read, Err(Errno::EFAULT));
    Ok(())
}

fn i2c() -> core::result::Result<Fd, Failure> {
    device("/dev/i2c-1", open::O_RDWR)
}

fn ioctl(bus: &Fd, request: usize, argument: usize) -> Result<usize> {
    call(nr::IOCTL, [bus.fd() as usize, request, argument])
}

fn i2c_read_of_an_absent_device_is_no_acknowledge() -> Outcome {
    let bus = i2c()?;
    check_eq!(ioctl(&bus, I2C_SLAVE, 0x21), Ok(0));
    let mut byte = [0];
    for _ in 0..2 {
        let refused = matches!(
            io::read(&bus, &mut byte),
            Err(Errno::ENXIO | Errno::EREMOTEIO)
        );
        check!(refused);
    }
    let written = io::write(&bus, &[0]);
    check!(matches!(written, Err(Errno::ENXIO | Errno::EREMOTEIO)));
    Ok(())
}

/// The argument of I2C_RDWR.
#[repr(C)]
struct Transfers(usize, u32);

fn i2c_wrong_transactions_are_einval() -> Outcome {
    let bus = i2c()?;
    let messages = [0_u64; 2];
    let at = messages.as_ptr().addr();
    for transfers in [Transfers(at, 0), Transfers(at, 43), Transfers(0, 1)] {
        let argument = (&raw const transfers).addr();
        check_eq!(ioctl(&bus, I2C_RDWR, argument), Err(Errno::EINVAL));
    }
    check_eq!(ioctl(&bus, I2C_RDWR, 8), Err(Errno::EFAULT));
    let transfers = Transfers(8, 1);
    let argument = (&raw const transfers).addr();
    check_eq!(ioctl(&bus, I2C_RDWR, argument), Err(Errno::EFAULT));
    Ok(())
}

fn i2c_address_beyond_seven_bits_is_einval() -> Outcome {
    let bus = i2c()?;
    for address in [0x80, 0x100, usize::MAX] {
        check_eq!(ioctl(&bus, I2C_SLAVE, address), Err(Errno::EINVAL));
    }
    Ok(())
}

fn i2c_unknown_request_is_enotty() -> Outcome {
    let bus = i2c()?;
    check_eq!(ioctl(&bus, 0x07ff, 0), Err(Errno::ENOTTY));
    let functions = [0_u64];
    check_eq!(ioctl(&bus, I2C_FUNCS, functions.as_ptr().addr()), Ok(0));
    check!(Bus::open(99).is_err());
    Ok(())
}

/// The last controller, and a line of it on which nothing hangs that a test could harm: the last one of the header of the Raspberry
/// Pis, or of the eight that virt has.
fn gpio() -> core::result::Result<(Chip, u32), Failure> {
    match Chip::open(0) {
        Ok(chip) => {
            let line = if chip.lines()? > 27 { 27 } else { 7 };
            Ok((chip, line))
        }
        Err(errno) => Err(Failure::Skip(format!("/dev/gpiochip0: {errno}"))),
    }
}

fn gpio_output_is_read_back() -> Outcome {
    let (chip, line) = gpio()?;
    for (flags, raw) in [(OUTPUT, 0), (OUTPUT | ACTIVE_LOW, 1)] {
        let lines = chip.request(&[line], flags)?;
        for value in [0, 1, 0] {
            lines.set_values(1, value)?;
            check_eq!(lines.values(1), Ok(value));
        }
        drop(lines);
        // A line that is given back stays as it is.
        check_eq!(chip.request(&[line], 0)?.values(1), Ok(raw));
    }
    Ok(())
}

fn gpio_line_is_one_programs_at_a_time_and_given_back() -> Outcome {
    let (chip, line) = gpio()?;
    let lines = chip.request(&[line], INPUT)?;
    check_eq!(chip.request(&[line], INPUT).err(), Some(Errno::EBUSY));
    drop(lines);
    // Twice in one request is two programs' too, and nothing of it is kept.
    check_eq!(chip.request(&[line, line], INPUT).err(), Some(Errno::EBUSY));
    drop(chip.request(&[line], INPUT)?);
    Ok(())
}

fn gpio_wrong_requests_are_einval() -> Outcome {
    let (chip, line) = gpio()?;
    let beyond = chip.lines()?;
    let wrong: [(&[u32], u64); 4] = [
        (&[], INPUT),
        (&[beyond], INPUT),
        (&[line], INPUT | OUTPUT),
        (&[line], 1 << 40),
    ];
    for (lines, flags) in wrong {
        check_eq!(chip.request(lines, flags).err(), Some(Errno::EINVAL));
    }
    let lines = chip.request(&[line], INPUT)?;
    check_eq!(lines.values(0), Err(Errno::EINVAL));
    check_eq!(lines.values(2), Err(Errno::EINVAL));
    Ok(())
}

fn gpio_input_is_not_set() -> Outcome {
    let (chip, line) = gpio()?;
    let lines = chip.request(&[line], INPUT)?;
    check_eq!(lines.set_values(1, 1), Err(Errno::EPERM));
    Ok(())
}

/// Opening it would start it, and an emulator may reset the machine at once: that is for the tests that hold the other end.
fn watchdog_has_its_number() -> Outcome {
    match fs::metadata("/dev/watchdog") {
        Ok(watchdog) => check_eq!(watchdog.device_numbers(), (10, 130)),
        Err(errno) => return Err(Failure::Skip(format!("/dev/watchdog: {errno}"))),
    }
    Ok(())
}
