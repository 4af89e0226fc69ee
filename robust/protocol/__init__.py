"""A study whose endpoints are declared before its runs: what is trained, measured and decided.

::

    study = Study.begin(read_protocol(), Path("runs/study-paper"))
    study.train(workers=2)
    rows = decide(study.declaration, study.measure())
"""
