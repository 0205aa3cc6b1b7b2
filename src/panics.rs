//! What a panic does: it is a defect of ozr's, which is said in one sentence without what the
//! panic itself says (that may quote a password), and ends the command. A panic of the thread that
//! builds unwinds, and everything unfinished is removed on the way; one of another thread asks for
//! the same end by what [`then()`] was given.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// What is to be done at a panic.
type Action = Box<dyn Fn() + Send>;

static THEN: Mutex<Option<Action>> = Mutex::new(None);
static SEEN: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread does what may panic.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// From now on, panics are told to `show`, in one sentence.
pub fn install(show: fn(&str)) {
    set_hook(Box::new(move |info| {
        if EXPECTED.get() {
            return;
        }
        SEEN.store(true, Ordering::SeqCst);
        show(&sentence(info));
        // Never waited for: the panic may have come from in there.
        if let Ok(then) = THEN.try_lock()
            && let Some(then) = then.as_ref()
        {
            then();
        }
    }));
}

/// At the next panic, in whichever thread, `action` is to be done. It must not panic.
pub fn then(action: impl Fn() + Send + 'static) {
    *lock(&THEN) = Some(Box::new(action));
}

/// Locks, also after a panic of a thread that held the lock: what it holds here is whole after every
/// statement.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether something panicked.
pub fn seen() -> bool {
    SEEN.load(Ordering::SeqCst)
}

/// Does what may meet a defect of somebody else's code, which is then no defect of ozr's.
///
/// # Errors
/// It panicked.
pub fn expected<T>(work: impl FnOnce() -> T) -> thread::Result<T> {
    EXPECTED.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    EXPECTED.set(false);
    result
}

fn sentence(info: &PanicHookInfo<'_>) -> String {
    let place = info.location().map_or(String::new(), |place| {
        format!(" at {}:{}", place.file(), place.line())
    });
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    format!("ozr has met a defect of its own (panic{place} in thread `{thread}`): please report it")
}
