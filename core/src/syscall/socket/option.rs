//! getsockopt(2) and setsockopt(2) (socket(7)).

use alloc::vec::Vec;

use halyard_abi::socket::*;
use zerocopy::IntoBytes;

use crate::ipc::unix::options::{timeout, timeval};
use crate::ipc::unix::{Kind, Socket};
use crate::machine::UserAddr;
use crate::syscall::{Answer, Call, DONE};
use crate::{Errno, Result};

/// Options that are remembered and mean nothing here.
const REMEMBERED: [u32; 9] = [
    SO_DEBUG,
    SO_REUSEADDR,
    SO_DONTROUTE,
    SO_BROADCAST,
    SO_KEEPALIVE,
    SO_OOBINLINE,
    SO_NO_CHECK,
    SO_REUSEPORT,
    SO_TIMESTAMP_OLD,
];

/// The greatest priority that needs no privilege.
const PRIORITY_MAX: i32 = 6;

/// What getsockopt answers with.
enum Value {
    Number(i32),
    Time([i64; 2]),
    Bytes(Vec<u8>),
}

impl Value {
    fn bytes(&self) -> &[u8] {
        match self {
            Value::Number(number) => number.as_bytes(),
            Value::Time(time) => time.as_bytes(),
            Value::Bytes(bytes) => bytes,
        }
    }
}

/// getsockopt(2). EOPNOTSUPP: another level than SOL_SOCKET. ENOPROTOOPT: no such option. A value is cut to the room for it.
pub(in crate::syscall) fn getsockopt(call: &mut Call<'_>) -> Answer {
    let file = call.socket_file::<0>()?;
    let socket = file.file().socket()?;
    let (at, length_at) = (call.addr::<3>(), call.addr::<4>());
    if call.uint::<1>() != SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP);
    }
    let room: i32 = call.space().read_user(length_at)?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let value = value_of(socket, call.uint::<2>())?;
    let bytes = value.bytes();
    let fits = bytes.get(..room).unwrap_or(bytes);
    call.space().write_bytes(at, fits)?;
    call.space().write_user(length_at, &(fits.len() as u32))?;
    DONE
}

fn value_of(socket: &Socket, option: u32) -> Result<Value> {
    let options = &socket.options;
    Ok(match option {
        SO_TYPE => Value::Number(match socket.kind() {
            Kind::Stream => SOCK_STREAM,
            Kind::Datagram => SOCK_DGRAM,
            Kind::SeqPacket => SOCK_SEQPACKET,
        } as i32),
        SO_DOMAIN => Value::Number(AF_UNIX as i32),
        SO_PROTOCOL | SO_PRIORITY => Value::Number(0),
        SO_ERROR => Value::Number(
            socket
                .take_error()
                .map_or(0, |errno| i32::from(errno.code())),
        ),
        SO_ACCEPTCONN => Value::Number(socket.listens().into()),
        SO_SNDBUF => Value::Number(socket.send_buffer() as i32),
        SO_RCVBUF => Value::Number(options.receive_buffer() as i32),
        SO_RCVLOWAT => Value::Number(options.least() as i32),
        SO_SNDLOWAT => Value::Number(1),
        SO_PASSCRED => Value::Number(socket.passcred().into()),
        SO_PEERCRED => Value::Bytes(bytes(socket.peer_credentials().as_bytes())?),
        SO_LINGER => Value::Bytes(bytes(&[0; 8])?),
        SO_RCVTIMEO_OLD | SO_RCVTIMEO_NEW => Value::Time(timeval(options.receive_timeout())),
        SO_SNDTIMEO_OLD | SO_SNDTIMEO_NEW => Value::Time(timeval(options.send_timeout())),
        option if REMEMBERED.contains(&option) => Value::Number(options.remembered(option).into()),
        _ => return Err(Errno::ENOPROTOOPT),
    })
}

fn bytes(value: &[u8]) -> Result<Vec<u8>> {
    super::address::owned(value)
}

/// setsockopt(2). EINVAL: the value is too short. EDOM: no time. ENOPROTOOPT, EOPNOTSUPP, EPERM.
pub(in crate::syscall) fn setsockopt(call: &mut Call<'_>) -> Answer {
    let file = call.socket_file::<0>()?;
    let socket = file.file().socket()?;
    let (at, length) = (call.addr::<3>(), call.int::<4>());
    if call.uint::<1>() != SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP);
    }
    let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
    let option = call.uint::<2>();
    match option {
        SO_RCVTIMEO_OLD | SO_RCVTIMEO_NEW => {
            let time = read_timeout(call, at, length)?;
            socket.options.set_receive_timeout(time);
        }
        SO_SNDTIMEO_OLD | SO_SNDTIMEO_NEW => {
            let time = read_timeout(call, at, length)?;
            socket.options.set_send_timeout(time);
        }
        _ if length < size_of::<i32>() => return Err(Errno::EINVAL),
        _ => set_number(call, socket, option, call.space().read_user(at)?)?,
    }
    DONE
}

fn read_timeout(call: &Call<'_>, at: UserAddr, length: usize) -> Result<Option<u64>> {
    if length < size_of::<[i64; 2]>() {
        return Err(Errno::EINVAL);
    }
    timeout(call.space().read_user(at)?).ok_or(Errno::EDOM)
}

fn set_number(call: &Call<'_>, socket: &Socket, option: u32, value: i32) -> Result<()> {
    let privileged = call.process().credentials().privileged();
    let options = &socket.options;
    match option {
        SO_PASSCRED => socket.set_passcred(value != 0),
        // As in Linux, where a negative size is a huge one.
        SO_SNDBUF => socket.set_send_buffer(value as u32, false),
        SO_RCVBUF => options.set_receive_buffer(value as u32, false),
        SO_SNDBUFFORCE | SO_RCVBUFFORCE if !privileged => return Err(Errno::EPERM),
        SO_SNDBUFFORCE => socket.set_send_buffer(value.max(0) as u32, true),
        SO_RCVBUFFORCE => options.set_receive_buffer(value.max(0) as u32, true),
        SO_RCVLOWAT => options.set_least(value),
        SO_PRIORITY if (0..=PRIORITY_MAX).contains(&value) || privileged => {}
        SO_PRIORITY => return Err(Errno::EPERM),
        SO_LINGER => {}
        SO_DEBUG if value != 0 && !privileged => return Err(Errno::EACCES),
        option if REMEMBERED.contains(&option) => options.remember(option, value != 0),
        _ => return Err(Errno::ENOPROTOOPT),
    }
    Ok(())
}
