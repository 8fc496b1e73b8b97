/* The version of these headers; the library's own is eclose_version(). A test compares both with the build's. */
#ifndef ECLOSE_VERSION_H
#define ECLOSE_VERSION_H

#define ECLOSE_VERSION "0.1.0"
#define ECLOSE_VERSION_MAJOR 0
#define ECLOSE_VERSION_MINOR 1
#define ECLOSE_VERSION_PATCH 0

/* Whether they are of that version or a later one: for programs that are compiled with several. */
#define ECLOSE_CHECK_VERSION(major, minor, patch) \
   (ECLOSE_VERSION_MAJOR > (major) ||             \
    (ECLOSE_VERSION_MAJOR == (major) &&           \
     (ECLOSE_VERSION_MINOR > (minor) || (ECLOSE_VERSION_MINOR == (minor) && ECLOSE_VERSION_PATCH >= (patch)))))

#endif
