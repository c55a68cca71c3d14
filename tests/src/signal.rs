//! Signals to child processes. The standard library sends none but SIGKILL.
#![expect(unsafe_code, reason = "the standard library sends no signal but SIGKILL")]

use std::io;

use tokio::process::Child;

/// Sends a signal to a child. Returns its process id; None if it has ended and was waited for.
///
/// # Errors
/// What the kernel says.
pub fn send(child: Option<&Child>, signal: i32) -> io::Result<Option<i32>> {
    let Some(id) = child.and_then(Child::id) else {
        return Ok(None);
    };
    let id = i32::try_from(id).map_err(io::Error::other)?;
    // SAFETY: no memory is involved, and the process is a child that was not yet waited for, so the id is its own.
    match unsafe { libc::kill(id, signal) } {
        0 => Ok(Some(id)),
        _ => Err(io::Error::last_os_error()),
    }
}
