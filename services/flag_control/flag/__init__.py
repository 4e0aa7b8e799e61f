"""One flag as pure state: its definition, its exposure, its lifecycle, and the requests that change it."""
