//! What a person sees: [`event`]s from all layers, and the only place that prints.

pub mod event;
pub mod printer;
pub mod trace;
