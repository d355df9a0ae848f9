"""A nemesis that breaks a run from outside, and a checker that proves afterwards what was promised."""
