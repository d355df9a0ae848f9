"""What every family promises, as claims that are judged: for the contract tests, and for a person's own file."""
