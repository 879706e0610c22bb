//! How long a thread has really run: where others use the machine too, that says more than a clock on the wall.

#![allow(dead_code, reason = "no benchmark uses all of it")]

use std::mem::MaybeUninit;
use std::time::Duration;

/// How long this thread has run so far.
pub(crate) fn of_this_thread() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is written where it lies, and outlives the call.
    let said = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(said, 0, "the system does not say how long a thread has run");
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// How often this thread has gone to sleep so far: for a lock that another held, or for anything else that it waited for. A core that was
/// taken from it does not count.
pub(crate) fn sleeps_of_this_thread() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: it is written where it lies, outlives the call, and is all zeros until then, which is a usage too.
    let (said, usage) = unsafe { (libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()), usage.assume_init()) };
    assert_eq!(said, 0, "the system does not say how often a thread has slept");
    usage.ru_nvcsw.try_into().unwrap()
}
