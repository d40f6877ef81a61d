use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Instant {
    Instant::new(chrono::DateTime::from_timestamp(seconds, 0).unwrap())
}

/// A database that keeps a life, as far as marks go.
#[derive(Debug, Clone)]
struct Played {
    identity: Identity,
    life: Life,
    marks: Vec<Mark>,
}

impl Played {
    fn new() -> Self {
        let (identity, mark) =
            (Identity { system: "s1".into(), log: 1, boot: "b1".into() }, Mark { counter: 1, random: 7 });
        let life = Life {
            identity: identity.clone(),
            incarnation: Incarnation(1),
            suspended: None,
            unasked: None,
            mark,
            marked_at: at(0),
            mark_age: Duration::ZERO,
        };
        Self { identity, life, marks: vec![mark] }
    }

    fn look(&self, asked: &[Mark]) -> LifeLook {
        LifeLook {
            identity: self.identity.clone(),
            life: Some(self.life.clone()),
            oldest: self.marks[0].counter,
            kept: asked.iter().filter(|mark| self.marks.contains(mark)).copied().collect(),
        }
    }

    fn move_mark(&mut self, random: u64) {
        self.life.mark = Mark { counter: self.life.mark.counter + 1, random };
        self.marks.push(self.life.mark);
    }

    fn memory(&self) -> Memory {
        Memory { incarnation: self.life.incarnation, mark: self.life.mark }
    }

    fn raise(&mut self, random: u64) {
        self.life.incarnation.0 += 1;
        self.life.identity = self.identity.clone();
        self.life.suspended = None;
        self.move_mark(random);
    }

    fn judge(&self, memories: &[Memory]) -> Verdict {
        let asked: Vec<_> = memories.iter().map(|memory| memory.mark).collect();
        judge(&self.look(&asked), Some(memories))
    }
}

/// What happens to a side and to three places that remember it.
#[derive(Debug, Clone)]
enum Event {
    Mark,
    /// The place remembers the newest mark.
    Remember(usize),
    /// The place's own memory is restored from an older copy.
    Forget(usize),
    BackUp,
    /// To the last back-up; on another server or not.
    Restore(bool),
    /// To another server, with everything.
    Move,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => Just(Event::Mark),
        4 => (0_usize..3).prop_map(Event::Remember),
        1 => (0_usize..3).prop_map(Event::Forget),
        2 => Just(Event::BackUp),
        1 => any::<bool>().prop_map(Event::Restore),
        1 => Just(Event::Move),
    ];
    proptest::collection::vec(event, 1..40)
}

proptest! {
    /// Whatever happened: exactly when some place remembers a mark of the present incarnation that the side lacks has
    /// it gone back; what is only moved, or restored to a state that everybody remembers at most, is not accused.
    #[test]
    fn who_lacks_what_anybody_remembers_has_gone_back_and_nobody_else(events in events()) {
        let mut side = Played::new();
        let mut copy = side.clone();
        let mut places: [Vec<Memory>; 3] = Default::default();
        let mut random = 100;
        for event in events {
            random += 1;
            match event {
                Event::Mark => side.move_mark(random),
                Event::Remember(place) => places[place].push(side.memory()),
                Event::Forget(place) => { places[place].pop(); }
                Event::BackUp => copy = side.clone(),
                Event::Restore(elsewhere) => {
                    side = copy.clone();
                    if elsewhere { side.identity.system = format!("s{random}"); }
                }
                Event::Move => side.identity.system = format!("s{random}"),
            }
            let memories: Vec<Memory> = places.iter().filter_map(|place| place.last().copied()).collect();
            let lacking = memories.iter().any(|memory| !side.marks.contains(&memory.mark));
            let verdict = side.judge(&memories);
            prop_assert_eq!(matches!(verdict, Verdict::GoneBack(_)), lacking, "{:?}", verdict);
            if lacking {
                // A person raises it: from then on old memories accuse nobody, and the new one does its work.
                side.raise(random + 1_000);
                prop_assert_eq!(side.judge(&memories), Verdict::Same);
                copy = side.clone();
                for place in &mut places { place.clear(); }
            } else if side.identity != side.life.identity {
                prop_assert_eq!(verdict, Verdict::Moved);
            }
        }
    }
}

#[test]
fn a_copy_from_before_a_raise_has_gone_back_whatever_its_marks() {
    let mut side = Played::new();
    let copy = side.clone();
    side.raise(9);
    assert_eq!(copy.judge(&[side.memory()]), Verdict::GoneBack(side.memory()));
}

#[test]
fn two_lives_that_count_alike_are_told_apart() {
    let mut side = Played::new();
    let mut other = side.clone();
    side.move_mark(1);
    other.move_mark(2);
    assert!(matches!(other.judge(&[side.memory()]), Verdict::GoneBack(_)));
}

#[test]
fn a_mark_that_is_older_than_what_is_kept_accuses_nobody() {
    let mut side = Played::new();
    let old = side.memory();
    side.move_mark(1);
    side.marks.remove(0);
    assert_eq!(side.judge(&[old]), Verdict::Same);
}

#[test]
fn without_a_row_a_life_begins_only_where_nobody_remembers_one() {
    let empty = LifeLook { life: None, ..Played::new().look(&[]) };
    assert_eq!(judge(&empty, Some(&[])), Verdict::Fresh);
    let memory = Played::new().memory();
    assert_eq!(judge(&empty, Some(&[memory])), Verdict::GoneBack(memory));
}

#[test]
fn nobody_to_ask_is_not_nobody_who_remembers() {
    assert_eq!(judge(&Played::new().look(&[]), None), Verdict::Unknown);
}

#[test]
fn a_suspended_side_says_so_and_who_lacks_a_mark_is_accused_first() {
    let mut side = Played::new();
    side.life.suspended = Some("why".into());
    assert_eq!(side.judge(&[]), Verdict::Suspended("why".into()));
    let memory = Memory { mark: Mark { counter: 5, random: 5 }, ..side.memory() };
    assert_eq!(side.judge(&[memory]), Verdict::GoneBack(memory));
}
