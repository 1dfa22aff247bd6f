"""Holds a folder: whoever opens it, or a file in it, waits in the kernel until this program ends.

As on a network file system whose server is gone. Usage: hold_folder.py FOLDER; it prints "held" and
ends with its standard input. Needs CAP_SYS_ADMIN, and a kernel with CONFIG_FANOTIFY_ACCESS_PERMISSIONS.
"""

import ctypes
import os
import sys

# linux/fanotify.h
FAN_CLASS_CONTENT = 0x04
FAN_CLOEXEC = 0x01
FAN_MARK_ADD = 0x01
FAN_OPEN_PERM = 0x00010000
FAN_EVENT_ON_CHILD = 0x08000000
FAN_ONDIR = 0x40000000
AT_FDCWD = -100


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def main():
    libc = ctypes.CDLL(None, use_errno=True)
    group = checked(libc.fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, os.O_RDONLY))
    mask = ctypes.c_uint64(FAN_OPEN_PERM | FAN_ONDIR | FAN_EVENT_ON_CHILD)
    folder = os.fsencode(sys.argv[1])
    checked(libc.fanotify_mark(group, FAN_MARK_ADD, mask, AT_FDCWD, folder))
    print("held", flush=True)
    # No event is answered; when this process ends, the kernel lets everybody go on.
    sys.stdin.read()


main()
