//! shadow-compare
