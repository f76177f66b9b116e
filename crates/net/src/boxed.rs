//! What is boxed: the error of a body, and futures.

use std::pin::Pin;

/// The error of a body that could not be read to its end.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A future on the heap, made there: what is made on the stack first is copied whole, also what of a large future is not in
/// use yet.
pub fn in_place<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    let place = Box::new_uninit();
    Box::into_pin(Box::write(place, make()))
}
