"""`python -m penstock.contract`: write the derived documents, print what changed."""

from penstock.contract import write

for changed in write():
    print(changed)
