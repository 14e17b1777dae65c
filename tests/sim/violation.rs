//! What the oracle says when something is wrong.

/// A broken invariant: its number (see `main.rs`) and what was seen.
#[derive(Debug)]
pub struct Violation {
    pub invariant: &'static str,
    pub text: String,
}

pub type Check<T = ()> = Result<T, Violation>;

/// Fails with the invariant's number unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $invariant:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::violation::Violation { invariant: $invariant, text: format!($($text)+) });
        }
    };
}
