//! The menagerie: databases that do things on their own, and what strangler says of them.
//!
//! Each animal is a file in `testkit/menagerie`: SQL that makes one side hostile, and what must come out. The real
//! binary runs against it, with the hostile database as legacy, as modern, and as an Oracle, through writes, deletions,
//! apply, relay, shadow reads, reads at 100 %, reconcile, repair, dry runs, a handover there and back, and `check`.
//!
//! Promise (the judge, over all of them): nothing is called settled, equal, complete or safe that is not. After each
//! step what strangler said is compared with what SQL says of both databases, asked by a superuser.
//!
//! Not here: what the databases are told to hold; `torture` (many disturbances at once, no odd databases).

mod animal;
mod cage;
mod course;
mod judge;
mod pooler;
mod seat;
mod steps;
mod storefront;
mod table;

use std::path::Path;

pub use animal::{Animal, Expected, animals, folder};
pub use course::Course;
pub use judge::Violation;
pub use seat::Seat;
pub use table::{PAGE, page};

/// Runs one animal in one seat to the end.
///
/// # Panics
/// When the test's own servers cannot be had, or its SQL is wrong.
pub async fn run(animal: &Animal, seat: Seat, binary: &Path) -> Course {
    Box::pin(steps::run(animal, seat, binary)).await
}

/// What is wrong with a course, if anything: a violation that nobody declared, a declared one that does not happen any
/// more, or another end than the declared.
///
/// # Errors
/// The text for whoever runs the test.
pub fn hold_to(animal: &Animal, course: &Course) -> Result<(), String> {
    let expected = animal.expected(course.seat);
    let shown = format!("{} as {}\n{course}", animal.name, course.seat.as_str());
    match &expected.known_broken {
        Some(mark) if course.violations.is_empty() => {
            Err(format!("{shown}\nis known to be broken ({mark}), and is not any more: take the mark away"))
        }
        Some(_) => Ok(()),
        None if !course.violations.is_empty() => Err(format!("{shown}\nbreaks a promise")),
        None => match expected.differs_from(course) {
            Some(difference) => Err(format!("{shown}\n{difference}")),
            None => Ok(()),
        },
    }
}
