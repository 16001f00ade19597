"""Studies: their spec, storage, exact budget and strategy."""
