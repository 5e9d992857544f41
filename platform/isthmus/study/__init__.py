"""Floor 4: many trials as one study: search, ranking and what having picked one of many costs."""
