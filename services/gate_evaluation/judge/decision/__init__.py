"""From the evidence of all gates to one verdict. All error budgets are spent here."""
