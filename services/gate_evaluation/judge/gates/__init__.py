"""The kinds of gates: what each reads in a window and which e-processes it runs."""
