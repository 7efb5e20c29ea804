"""The demo: MovieLens-100K through every stage of `perso_core.rank`, from an installed wheel.

`perso-core demo` runs it. What each file does:

- `cli`       the command line: arguments, errors in plain words
- `story`     the order of events, and `Outcome`, all that the demo found out
- `errors`    what the reader can do something about; the extras
- `download`  get the data set, verify it, keep it in a cache folder
- `data`      parse and check it
- `split`     which ratings are held out
- `features`  the two embedding spaces, user vectors, popularity, release dates
- `pipeline`  build, save and open the catalog; rank everyone
- `policies`  the policies that the table compares
- `metrics`   accuracy, diversity, coverage, calibration
- `simulate`  the explorers against readers whose clicks follow a known model
- `tune`      the validation runs that chose the constants in `features` and `policies`
- `progress`  the bars on standard error
- `show`      the terminal
- `report`    the HTML page
- `live`      `--live`: ranks while a second thread streams ratings in; what it checks
- `stream`    the ratings as changes to the catalog, and the thread that makes them
- `show_live` its terminal

Nothing here is imported by `import perso_core`.
"""
