"""A process that appends to an audit log, for the tests: `audit_writer.py DIRECTORY NAME COUNT` says each seq it was given.

Runs under `python -I -S`, as the stages do, so it finds the checkout by its own path.
"""

import sys
from os.path import abspath, dirname

sys.path.insert(0, dirname(dirname(dirname(abspath(__file__)))))

from audit import log

if __name__ == "__main__":
    directory, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    for number in range(count):
        try:
            head = log.append(directory, {"event": "vote", "request": name, "comment": str(number)}, version="0")
        except log.AuditError as error:
            print(f"failed {error}", flush=True)
            sys.exit(33)
        print(f"{head.seq} {head.sha256}", flush=True)
