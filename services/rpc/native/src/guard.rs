//! Panics end where they happen: they are printed there, and Python hears of an error as of any other.

use std::panic::{catch_unwind, AssertUnwindSafe};

use pyo3::exceptions::PyRuntimeError;
use pyo3::PyResult;

const FAILED: &str = "the native transport has failed: a defect, whose place was printed to stderr";

/// Runs what Python has called. A panic becomes a RuntimeError; PyO3 alone would raise what no `except Exception` takes.
pub fn guarded<T>(work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch(work).unwrap_or_else(|| Err(PyRuntimeError::new_err(FAILED)))
}

/// What `work` returns; None if it panicked. Nothing that is shared is left half-way by that: see `bridge::lock`.
pub fn catch<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
