"""What a run may cost: counts by model and the budget of credits."""
