//! What a person or a program sees: [`event`]s from all layers, and the only place that prints.

pub mod event;
pub mod json_lines;
pub mod live;
pub mod printer;
pub mod queue;
pub mod trace;
mod words;
