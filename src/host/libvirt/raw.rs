//! The part of libvirt's C interface that `virt` does not wrap, made safe: events and streams,
//! whose callbacks are closures here. All of the program's unsafe code is in this file.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr};
use std::os::raw::{c_char, c_int, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{anyhow, ensure};
use virt::connect::Connect;
use virt::domain::Domain;
use virt::sys;

/// Told a lifecycle event and its detail (`virDomainEventType` and the types that it refers to).
type LifecycleHandler = dyn Fn(c_int, c_int) + Send + Sync;
/// Told why a disk could not be read or written.
type DiskErrorHandler = dyn Fn(&str) + Send + Sync;
/// Told why a connection was closed (`virConnectCloseReason`).
type CloseHandler = dyn Fn(c_int) + Send + Sync;
/// Told what happened to a stream (bits of `virStreamEventType`).
type StreamHandler = dyn Fn(c_uint) + Send + Sync;

/// Sets an environment variable, unless the process has a second thread.
pub(super) fn set_variable_while_alone(name: &str, value: &OsStr) {
    let threads = std::fs::read_dir("/proc/self/task").map_or(usize::MAX, Iterator::count);
    if threads == 1 {
        // SAFETY: this thread is the only one, as was just counted, so nobody reads the
        // environment meanwhile, nor can another thread begin except from this one.
        unsafe { std::env::set_var(name, value) };
    }
}

/// What libvirt says of this thread's last call that failed.
pub(super) fn last_error() -> anyhow::Error {
    anyhow!(virt::error::Error::last_error().message().to_owned())
}

/// Saves the state of a domain to a file, and ends it.
pub(super) fn save(domain: &Domain, file: &Path) -> anyhow::Result<()> {
    let file = CString::new(file.as_os_str().as_bytes())?;
    let flags = sys::VIR_DOMAIN_SAVE_PAUSED;
    // SAFETY: the domain is valid, and the path a string that ends with a zero; libvirt keeps neither. No XML
    // of our own is given.
    let result =
        unsafe { sys::virDomainSaveFlags(domain.as_ptr(), file.as_ptr(), std::ptr::null(), flags) };
    ensure!(result == 0, last_error());
    Ok(())
}

/// Calls a handler for libvirt, whose C no panic may unwind: that would abort the process before
/// it has cleaned up. The panic's hook has heard of it.
fn guarded(call: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(call));
}

/// Makes of a handler what libvirt keeps for a callback: one plain pointer.
fn give<H: ?Sized>(handler: Box<H>) -> *mut c_void {
    Box::into_raw(Box::new(handler)).cast()
}

/// Undoes [`give`]: libvirt calls this when it is done with a callback.
///
/// # Safety
/// `opaque` must be from [`give`] with the same `H`, and not be used afterwards.
unsafe extern "C" fn release<H: ?Sized>(opaque: *mut c_void) {
    // SAFETY: by this function's contract, it is a box that nobody else owns.
    drop(unsafe { Box::from_raw(opaque.cast::<Box<H>>()) });
}

/// The handler in what [`give`] made.
///
/// # Safety
/// `opaque` must be from [`give`] with the same `H`, and not be released during `'a`.
unsafe fn handler<'a, H: ?Sized>(opaque: *mut c_void) -> &'a H {
    // SAFETY: by this function's contract, the box is there; nobody changes it.
    unsafe { &*opaque.cast::<Box<H>>() }
}

/// Whether libvirt took a handler, by what it answered; one that it did not take is released here.
///
/// # Safety
/// `opaque` must be what was given to libvirt with `free` in the call that had this result.
unsafe fn taken(
    result: c_int,
    opaque: *mut c_void,
    free: unsafe extern "C" fn(*mut c_void),
) -> anyhow::Result<()> {
    if result < 0 {
        let error = last_error();
        // SAFETY: libvirt did not take the handler, so it is still ours.
        unsafe { free(opaque) };
        return Err(error);
    }
    Ok(())
}

/// A subscription to events of one domain; ends when dropped.
pub(super) struct DomainEvents {
    connect: Connect,
    id: c_int,
}

/// The type as which libvirt's interface passes the callbacks of all domain events; it calls them
/// with the arguments of the event that was asked for (`VIR_DOMAIN_EVENT_CALLBACK` in its header).
type Generic = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void);

impl DomainEvents {
    /// Calls `handler` from the event loop's thread, with each lifecycle event and its detail.
    pub(super) fn lifecycle(
        connect: &Connect,
        domain: &Domain,
        handler: impl Fn(c_int, c_int) + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        type Lifecycle = unsafe extern "C" fn(
            sys::virConnectPtr,
            sys::virDomainPtr,
            c_int,
            c_int,
            *mut c_void,
        ) -> c_int;
        // SAFETY: see `Generic`; for lifecycle events the arguments are those of `Lifecycle`.
        let callback =
            unsafe { std::mem::transmute::<Lifecycle, Generic>(on_lifecycle as Lifecycle) };
        let opaque = give::<LifecycleHandler>(Box::new(handler));
        // SAFETY: `opaque` is what `on_lifecycle` and `release` expect.
        unsafe {
            Self::subscribe(
                connect,
                domain,
                sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                callback,
                opaque,
                release::<LifecycleHandler>,
            )
        }
    }

    /// Calls `handler` from the event loop's thread, with the reason of each error of a disk:
    /// `enospc`, or QEMU's word for another one.
    pub(super) fn disk_errors(
        connect: &Connect,
        domain: &Domain,
        handler: impl Fn(&str) + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        type DiskError = unsafe extern "C" fn(
            sys::virConnectPtr,
            sys::virDomainPtr,
            *const c_char,
            *const c_char,
            c_int,
            *const c_char,
            *mut c_void,
        );
        // SAFETY: see `Generic`; for this event the arguments are those of `DiskError`.
        let callback =
            unsafe { std::mem::transmute::<DiskError, Generic>(on_disk_error as DiskError) };
        let opaque = give::<DiskErrorHandler>(Box::new(handler));
        // SAFETY: `opaque` is what `on_disk_error` and `release` expect.
        unsafe {
            Self::subscribe(
                connect,
                domain,
                sys::VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON,
                callback,
                opaque,
                release::<DiskErrorHandler>,
            )
        }
    }

    /// # Safety
    /// `callback` must be one for `event`; `opaque` must be what it and `free` expect.
    unsafe fn subscribe(
        connect: &Connect,
        domain: &Domain,
        event: sys::virDomainEventID,
        callback: Generic,
        opaque: *mut c_void,
        free: unsafe extern "C" fn(*mut c_void),
    ) -> anyhow::Result<Self> {
        // SAFETY: both pointers are valid for the call; libvirt takes references of its own. The
        // rest is this function's contract.
        let id = unsafe {
            sys::virConnectDomainEventRegisterAny(
                connect.as_ptr(),
                domain.as_ptr(),
                event as c_int,
                Some(callback),
                opaque,
                Some(free),
            )
        };
        // SAFETY: as above.
        unsafe { taken(id, opaque, free)? };
        Ok(DomainEvents {
            connect: connect.clone(),
            id,
        })
    }
}

impl Drop for DomainEvents {
    fn drop(&mut self) {
        // SAFETY: the connection is alive, for we hold it. Failing (the daemon is gone) is fine:
        // libvirt then drops the callback with the connection.
        unsafe { sys::virConnectDomainEventDeregisterAny(self.connect.as_ptr(), self.id) };
    }
}

unsafe extern "C" fn on_lifecycle(
    _connect: sys::virConnectPtr,
    _domain: sys::virDomainPtr,
    event: c_int,
    detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: `opaque` is the handler of `DomainEvents::lifecycle`, which libvirt holds until it
    // calls `release`, never during this call.
    let handler = unsafe { handler::<LifecycleHandler>(opaque) };
    guarded(|| handler(event, detail));
    0
}

unsafe extern "C" fn on_disk_error(
    _connect: sys::virConnectPtr,
    _domain: sys::virDomainPtr,
    _path: *const c_char,
    _device: *const c_char,
    _action: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    let reason = if reason.is_null() {
        c""
    } else {
        // SAFETY: libvirt passes a string that ends with a zero, and keeps it during this call.
        unsafe { CStr::from_ptr(reason) }
    };
    // SAFETY: `opaque` is the handler of `DomainEvents::disk_errors`, which libvirt holds until it
    // calls `release`, never during this call.
    let handler = unsafe { handler::<DiskErrorHandler>(opaque) };
    guarded(|| handler(&reason.to_string_lossy()));
}

/// Calls `handler` from the event loop's thread when the connection is closed by anyone but us.
pub(super) fn watch_close(
    connect: &Connect,
    handler: impl Fn(c_int) + Send + Sync + 'static,
) -> anyhow::Result<()> {
    let opaque = give::<CloseHandler>(Box::new(handler));
    // SAFETY: the connection is valid; `opaque` is what `on_close` and `release` expect. libvirt
    // releases it when the connection is disposed of or the callback is replaced.
    let result = unsafe {
        sys::virConnectRegisterCloseCallback(
            connect.as_ptr(),
            Some(on_close),
            opaque,
            Some(release::<CloseHandler>),
        )
    };
    // SAFETY: as above.
    unsafe { taken(result, opaque, release::<CloseHandler>) }
}

/// Undoes [`watch_close`]: libvirt keeps a reference to the connection for the callback, so that it
/// would never be closed otherwise.
pub(super) fn unwatch_close(connect: &Connect) {
    // SAFETY: the connection is valid. Fails harmlessly if nothing is registered.
    unsafe { sys::virConnectUnregisterCloseCallback(connect.as_ptr(), Some(on_close)) };
}

/// Not generic: libvirt unregisters a callback by its address, of which a generic function may
/// have several.
unsafe extern "C" fn on_close(_connect: sys::virConnectPtr, reason: c_int, opaque: *mut c_void) {
    // SAFETY: `opaque` is the handler of `watch_close`, which libvirt holds until it calls
    // `release`, never during this call.
    let handler = unsafe { handler::<CloseHandler>(opaque) };
    guarded(|| handler(reason));
}

/// One reference to a libvirt stream; aborted when dropped.
pub(super) struct RawStream(sys::virStreamPtr);

// SAFETY: libvirt's objects are reference counted and locked inside; its documentation allows
// use from any thread.
unsafe impl Send for RawStream {}
// SAFETY: as above.
unsafe impl Sync for RawStream {}

impl RawStream {
    /// A stream that is connected to nothing yet. `flags` are of `virStreamFlags`.
    pub(super) fn new(connect: &Connect, flags: c_uint) -> anyhow::Result<Self> {
        // SAFETY: the connection is valid; the result is checked.
        let stream = unsafe { sys::virStreamNew(connect.as_ptr(), flags) };
        ensure!(!stream.is_null(), last_error());
        Ok(RawStream(stream))
    }

    /// Reads into `buffer`: returns how many bytes, or `virStreamRecv`'s negative answer.
    pub(super) fn read(&self, buffer: &mut [u8]) -> c_int {
        // SAFETY: the stream is valid and the buffer has the length that is told.
        unsafe { sys::virStreamRecv(self.0, buffer.as_mut_ptr().cast::<c_char>(), buffer.len()) }
    }

    /// `virStreamSend`: how many bytes were taken, or its negative answers.
    pub(super) fn write(&self, bytes: &[u8]) -> c_int {
        // SAFETY: the stream is open, and libvirt copies as many bytes as it is told there are.
        unsafe { sys::virStreamSend(self.0, bytes.as_ptr().cast::<c_char>(), bytes.len()) }
    }

    /// Reads what is there before the next hole: as [`RawStream::read`], but -3 at one.
    pub(super) fn read_to_hole(&self, buffer: &mut [u8]) -> c_int {
        let (data, room) = (buffer.as_mut_ptr().cast::<c_char>(), buffer.len());
        // SAFETY: the stream is valid and the buffer has the length that is told.
        unsafe { sys::virStreamRecvFlags(self.0, data, room, sys::VIR_STREAM_RECV_STOP_AT_HOLE) }
    }

    /// How long the hole is, in bytes, at which [`RawStream::read_to_hole`] stopped; the stream is behind it then.
    pub(super) fn skip_hole(&self) -> anyhow::Result<u64> {
        let mut length = 0;
        // SAFETY: the stream is valid, and the length is written to a value that outlives the call.
        let result = unsafe { sys::virStreamRecvHole(self.0, &mut length, 0) };
        ensure!(result == 0, last_error());
        Ok(u64::try_from(length)?)
    }

    /// Leaves so many bytes out, which are zeroes on the other side.
    pub(super) fn write_hole(&self, length: u64) -> anyhow::Result<()> {
        let length = i64::try_from(length)?;
        // SAFETY: the stream is valid.
        let result = unsafe { sys::virStreamSendHole(self.0, length, 0) };
        ensure!(result == 0, last_error());
        Ok(())
    }

    /// Waits until the other side has all, and says so.
    pub(super) fn finish(&self) -> anyhow::Result<()> {
        // SAFETY: the stream is valid; it is still ours to free.
        let result = unsafe { sys::virStreamFinish(self.0) };
        ensure!(result == 0, last_error());
        Ok(())
    }

    /// Calls `handler` from the event loop's thread when one of `events` happens (bits of
    /// `virStreamEventType`), with those that did. A stream has one handler at most; until
    /// [`RawStream::stop_events`], it keeps the stream.
    pub(super) fn on_event(
        &self,
        events: c_uint,
        handler: impl Fn(c_uint) + Send + Sync + 'static,
    ) -> anyhow::Result<()> {
        let opaque = give::<StreamHandler>(Box::new(handler));
        // SAFETY: the stream is valid, and libvirt takes a reference of its own to it until after
        // it has called `release`. `opaque` is what `on_stream` and `release` expect.
        let result = unsafe {
            sys::virStreamEventAddCallback(
                self.0,
                events as c_int,
                Some(on_stream),
                opaque,
                Some(release::<StreamHandler>),
            )
        };
        // SAFETY: as above.
        unsafe { taken(result, opaque, release::<StreamHandler>) }
    }

    /// Changes the events for which the handler is called.
    pub(super) fn want(&self, events: c_uint) {
        // SAFETY: the stream is valid. Fails only when no callback is registered any more, and
        // then there is nothing to want.
        unsafe { sys::virStreamEventUpdateCallback(self.0, events as c_int) };
    }

    /// Removes the handler, even from inside of it: libvirt then drops it when it returns.
    pub(super) fn stop_events(&self) {
        // SAFETY: the stream is valid. Fails harmlessly if the callback is gone already.
        unsafe { sys::virStreamEventRemoveCallback(self.0) };
    }

    /// Lends the stream to `virt`, whose functions want their own type.
    pub(super) fn with_virt<T>(
        &self,
        use_it: impl FnOnce(&virt::stream::Stream) -> Result<T, virt::error::Error>,
    ) -> anyhow::Result<T> {
        // SAFETY: the stream is valid; the reference that the lent value gives back when dropped
        // is taken here.
        let lent = unsafe {
            sys::virStreamRef(self.0);
            virt::stream::Stream::from_ptr(self.0)
        };
        use_it(&lent).map_err(|error| anyhow!(error.message().to_owned()))
    }
}

impl Drop for RawStream {
    fn drop(&mut self) {
        // SAFETY: this is our reference, given back once. Aborting a stream that has ended
        // already fails harmlessly.
        unsafe {
            sys::virStreamAbort(self.0);
            sys::virStreamFree(self.0);
        }
    }
}

unsafe extern "C" fn on_stream(_stream: sys::virStreamPtr, events: c_int, opaque: *mut c_void) {
    // SAFETY: `opaque` is the handler of `RawStream::on_event`, which libvirt holds until it
    // calls `release`, never during this call.
    let handler = unsafe { handler::<StreamHandler>(opaque) };
    guarded(|| handler(events as c_uint));
}
