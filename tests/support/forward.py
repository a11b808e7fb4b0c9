"""What `ssh -L PORT:PATH` does: a loopback port whose connections come to a Unix socket as the user that runs this."""

from __future__ import annotations

import socket
import sys
import threading


def main(port: int, path: str) -> None:
    with socket.create_server(("127.0.0.1", port)) as listener:
        print("forwards", flush=True)
        while True:
            ours, _address = listener.accept()
            theirs = socket.socket(socket.AF_UNIX)
            try:
                theirs.connect(path)
            except OSError:  # nobody listens there just now
                ours.close()
                continue
            for source, target in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=pump, args=(source, target), daemon=True).start()


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            target.sendall(data)
    except OSError:
        pass
    for each in (source, target):
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
