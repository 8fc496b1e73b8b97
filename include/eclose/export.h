/* What the public headers share: linkage, and results that are not to be passed over.
 *
 * Since 0.1.0.
 */
#ifndef ECLOSE_EXPORT_H
#define ECLOSE_EXPORT_H

#if defined(__GNUC__)
#define ECLOSE_EXPORT(type) __attribute__ ((visibility ("default"))) type
#define ECLOSE_MUST_CHECK __attribute__ ((warn_unused_result))
#else
#define ECLOSE_EXPORT(type) type
#define ECLOSE_MUST_CHECK
#endif

#ifdef __cplusplus
#define ECLOSE_BEGIN_DECLS extern "C" {
#define ECLOSE_END_DECLS }
#else
#define ECLOSE_BEGIN_DECLS
#define ECLOSE_END_DECLS
#endif

#endif
